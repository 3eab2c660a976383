#!/bin/sh
# free-port.sh: a TCP port on loopback that nothing listens on now.
exec node -e 'const s = require("net").createServer().listen(0, "127.0.0.1", () => { console.log(String(s.address().port)); s.close(); })'
