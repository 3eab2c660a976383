/** Style sheet of the HTML report. */
export const style = `
:root {
  color-scheme: light dark;
  --page: #f6f7f9; --card: #fff; --text: #1b2430; --soft: #56616f; --line: #d9dee5;
  --kept: #0b5cad; --kept-text: #fff; --gone: #f3dcc0; --gone-line: #c99a5b; --gone-text: #5a3a0d;
  --good: #17703a; --bad: #b3261e; --warn: #7d5700; --warn-back: #fff4d6; --group: #e9edf2;
}
@media screen and (prefers-color-scheme: dark) {
  :root {
    --page: #12161c; --card: #1b212a; --text: #e6eaf0; --soft: #a3adba; --line: #333d4a;
    --kept: #6cb2ff; --kept-text: #06182b; --gone: #43341f; --gone-line: #8f6c38; --gone-text: #f4d9b0;
    --good: #6fd08c; --bad: #ff8a80; --warn: #ffd479; --warn-back: #3a2f14; --group: #252d38;
  }
}
* { box-sizing: border-box; }
body { margin: 0; background: var(--page); color: var(--text); font: 15px/1.5 system-ui, sans-serif; }
main, header, footer { max-width: 1180px; margin: 0 auto; padding: 0 20px; }
header { padding-top: 28px; }
h1 { font-size: 1.5rem; line-height: 1.25; margin: 0 0 4px; overflow-wrap: anywhere; font-weight: 650; }
h2 { font-size: 1.1rem; margin: 0 0 10px; font-weight: 650; }
h3 { font-size: .95rem; margin: 18px 0 4px; font-weight: 650; }
p { margin: 0 0 8px; }
.soft { color: var(--soft); }
code, .path { font: .88em/1.45 ui-monospace, SFMono-Regular, Menlo, Consolas, monospace; overflow-wrap: anywhere; }
section { background: var(--card); border: 1px solid var(--line); border-radius: 10px; padding: 18px 20px; margin: 16px 0; }
.badge { display: inline-block; border: 1px solid currentColor; border-radius: 99px; padding: 1px 11px; font-size: .87rem; margin: 4px 6px 4px 0; }
.good { color: var(--good); } .bad { color: var(--bad); } .warn { color: var(--warn); }
.warnings { background: var(--warn-back); color: var(--warn); border-radius: 8px; padding: 10px 14px 10px 32px; margin: 12px 0 0; }
.warnings li { overflow-wrap: anywhere; }
.cards { display: grid; grid-template-columns: repeat(auto-fit, minmax(150px, 1fr)); gap: 12px; margin: 16px 0; padding: 0; list-style: none; }
.cards li { background: var(--card); border: 1px solid var(--line); border-radius: 10px; padding: 12px 14px; min-width: 0; }
.cards b { display: block; font-size: 1.45rem; font-weight: 650; line-height: 1.3; }
.cards .label, .cards .from { color: var(--soft); font-size: .87rem; display: block; }
.bar { display: block; width: 100%; height: 8px; margin-top: 8px; border-radius: 4px; }
.bar .all { fill: var(--gone); } .bar .left { fill: var(--kept); }
.legend { display: flex; flex-wrap: wrap; gap: 4px 18px; font-size: .87rem; color: var(--soft); margin: 0 0 8px; }
.swatch { display: inline-block; width: 14px; height: 14px; border-radius: 3px; vertical-align: -2px; margin-right: 6px; border: 1px solid var(--line); }
.kept { background: var(--kept); color: var(--kept-text); }
.gone { background: repeating-linear-gradient(135deg, transparent 0 5px, color-mix(in srgb, var(--gone-line) 42%, transparent) 5px 6px), var(--gone); color: var(--gone-text); }
#crumbs { display: flex; flex-wrap: wrap; margin: 0 0 6px; padding: 0; list-style: none; min-height: 1.9em; }
#crumbs button { border: 0; background: none; color: var(--kept); font: .88em ui-monospace, monospace; padding: 3px 2px; cursor: pointer; overflow-wrap: anywhere; text-align: left; }
#crumbs li:last-child button { color: var(--text); font-weight: 650; }
#map { position: relative; height: clamp(320px, 56vh, 560px); overflow: hidden; border-radius: 6px; background: var(--group); }
.tile { position: absolute; overflow: hidden; border: 1px solid var(--card); border-radius: 2px; padding: 0 3px; margin: 0; font: 11px/15px ui-monospace, Menlo, Consolas, monospace; text-align: left; white-space: nowrap; text-overflow: ellipsis; display: block; }
.tile.dir { background: var(--group); color: var(--text); cursor: zoom-in; }
.tile span { pointer-events: none; }
.tile .name { position: absolute; inset: 0 3px auto; overflow: hidden; text-overflow: ellipsis; }
.tile:hover { outline: 2px solid var(--text); outline-offset: -2px; z-index: 3; }
:focus-visible { outline: 3px solid var(--kept); outline-offset: 1px; }
.tile:focus-visible { outline: 3px solid var(--text); outline-offset: -3px; z-index: 4; }
#here { margin: 8px 0 0; }
#tip { position: fixed; z-index: 9; pointer-events: none; max-width: min(460px, calc(100vw - 24px)); background: var(--text); color: var(--card); border-radius: 6px; padding: 7px 10px; font-size: .85rem; overflow-wrap: anywhere; box-shadow: 0 3px 14px #0006; }
#tip b, #tip span { display: block; }
.scroll { overflow: auto; max-height: 440px; border: 1px solid var(--line); border-radius: 6px; }
table { border-collapse: collapse; width: 100%; font-size: .9rem; }
th, td { text-align: left; padding: 5px 10px; border-bottom: 1px solid var(--line); vertical-align: top; overflow-wrap: anywhere; }
tbody tr:last-child > * { border-bottom: 0; }
tbody th { font-weight: 400; }
thead th { position: sticky; top: 0; background: var(--card); font-weight: 600; font-size: .84rem; color: var(--soft); z-index: 1; overflow-wrap: normal; }
thead button { all: unset; cursor: pointer; white-space: nowrap; }
thead button:focus-visible { outline: 3px solid var(--kept); }
thead button::after { content: " ↕"; opacity: .45; }
[aria-sort=ascending] button::after { content: " ↑"; opacity: 1; }
[aria-sort=descending] button::after { content: " ↓"; opacity: 1; }
.num { text-align: right; white-space: nowrap; font-variant-numeric: tabular-nums; }
.tools { display: flex; flex-wrap: wrap; gap: 6px 12px; align-items: center; margin-bottom: 8px; font-size: .87rem; color: var(--soft); }
.tools label { display: flex; gap: 8px; align-items: center; flex: 0 1 400px; }
input[type=search] { font: inherit; color: var(--text); background: var(--page); border: 1px solid var(--soft); border-radius: 6px; padding: 4px 9px; flex: 1; min-width: 0; }
.columns { display: grid; grid-template-columns: repeat(auto-fit, minmax(min(330px, 100%), 1fr)); gap: 0 26px; }
.columns > * { min-width: 0; }
dl { display: grid; grid-template-columns: max-content 1fr; gap: 3px 16px; margin: 0; }
dt { color: var(--soft); } dd { margin: 0; min-width: 0; overflow-wrap: anywhere; }
pre { margin: 0 0 10px; padding: 9px 12px; background: var(--page); border: 1px solid var(--line); border-radius: 6px; overflow-x: auto; font: .86rem/1.5 ui-monospace, Menlo, Consolas, monospace; white-space: pre-wrap; overflow-wrap: anywhere; }
.below { margin: 8px 0 0; }
.names { padding: 0; list-style: none; margin: 0; }
footer { color: var(--soft); font-size: .85rem; padding-bottom: 34px; }
[hidden] { display: none !important; }
@media (max-width: 560px) {
  main, header, footer { padding-left: 12px; padding-right: 12px; }
  section { padding: 14px 12px; }
  .cards { grid-template-columns: 1fr 1fr; }
  th, td { padding: 5px 6px; }
  dl { grid-template-columns: 1fr; } dd { margin-bottom: 6px; }
}
@media print {
  :root { color-scheme: light; --page: #fff; --text: #000; }
  body { font-size: 11px; }
  section, .cards li { break-inside: avoid-page; border-color: #bbb; }
  section:has(.scroll) { break-inside: auto; }
  .scroll { max-height: none; overflow: visible; border: 0; }
  .scroll tbody tr:nth-child(n+61) { display: none; }
  thead th { position: static; }
  .tools, #tip { display: none; }
  .kept, .gone, .bar, .tile { print-color-adjust: exact; -webkit-print-color-adjust: exact; }
}
`;
