import { printable } from '../format.js';

/** A piece of HTML that may go into the page as it is. */
export class Markup {
  constructor(readonly text: string) {}
}

type Value = string | number | Markup | readonly Markup[];

/** A template of HTML: every value is escaped, unless it is Markup already. */
export function markup(parts: TemplateStringsArray, ...values: Value[]): Markup {
  return new Markup(parts.reduce((text, part, i) => text + render(values[i - 1] ?? '') + part));
}

function render(value: Value): string {
  if (value instanceof Markup) return value.text;
  if (typeof value === 'object') return value.map(({ text }) => text).join('');
  return escapeHtml(String(value));
}

/** `text` for an element's content or a quoted attribute, control characters made visible. */
export function escapeHtml(text: string): string {
  return printable(text).replace(/[&<>"']/g, (char) => `&#${char.charCodeAt(0)};`);
}

/** JSON for a `<script type="application/json">`: no tag, comment or lone surrogate is left in it. */
export function scriptJson(value: unknown): Markup {
  return new Markup(
    JSON.stringify(value).replace(
      /[<>&\u2028\u2029]/g,
      (char) => `\\u${char.charCodeAt(0).toString(16).padStart(4, '0')}`,
    ),
  );
}

export interface Column {
  title: string;
  numeric?: boolean;
}

/** One cell: text, or for a numeric column what is sorted by and what is shown. */
export type Cell = Markup | string | { value: number; shown: string };

export function numeric(title: string): Column {
  return { title, numeric: true };
}

export function numericCell(value: number, show: (value: number) => string): Cell {
  return { value, shown: show(value) };
}

export interface TableOptions {
  id: string;
  caption: string;
  columns: Column[];
  /** The first cell of each names the row. */
  rows: Cell[][];
  /** With a search field, where it is long enough to need one. */
  searchable?: boolean;
  /** What is said where there are no rows. */
  empty: string;
}

/** A sortable table with its heading. */
export function table({ id, caption, columns, rows, searchable, empty }: TableOptions): Markup {
  if (rows.length === 0) return markup`<h2>${caption}</h2><p class="soft">${empty}</p>`;
  const head = columns.map(
    ({ title, numeric: right }) =>
      markup`<th scope="col"${new Markup(right ? ' class="num"' : '')}>${title}</th>`,
  );
  const search = markup`<div class="tools js" hidden>
<label>Search <input type="search" data-table="${id}" autocomplete="off" spellcheck="false"></label>
<span role="status"></span></div>`;
  return markup`<h2 id="${id}-title">${caption}</h2>
${searchable && rows.length > 8 ? search : ''}
<div class="scroll" tabindex="0" role="region" aria-labelledby="${id}-title">
<table class="sortable" id="${id}" aria-labelledby="${id}-title"><thead><tr>${head}</tr></thead><tbody>
${rows.map((row) => markup`<tr>${row.map(renderCell)}</tr>\n`)}</tbody></table></div>`;
}

function renderCell(cell: Cell, column: number): Markup {
  if (cell instanceof Markup || typeof cell === 'string') {
    return column === 0 ? markup`<th scope="row">${cell}</th>` : markup`<td>${cell}</td>`;
  }
  return markup`<td class="num" data-v="${cell.value}">${cell.shown}</td>`;
}
