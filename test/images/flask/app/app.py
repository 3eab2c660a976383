"""A page from a template; /report imports what only it needs."""

from flask import Flask, jsonify, render_template

app = Flask(__name__)


@app.route("/")
def index():
    return render_template("index.html", name="debloat")


@app.route("/report")
def report():
    import csv
    import sqlite3
    import zoneinfo

    rows = sqlite3.connect(":memory:").execute("select sqlite_version()").fetchall()
    zone = zoneinfo.ZoneInfo("Europe/Rome")
    return jsonify(sqlite=rows[0][0], zone=str(zone), dialects=csv.list_dialects())
