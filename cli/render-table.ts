/** Rows of cells as text, each column as wide as its widest cell. */
export function renderTable(rows: readonly (readonly string[])[]): string {
  const widths: number[] = [];
  for (const row of rows) {
    row.forEach((cell, n) => (widths[n] = Math.max(widths[n] ?? 0, cell.length)));
  }
  const line = (row: readonly string[]) => row.map((cell, n) => cell.padEnd(widths[n] ?? 0));
  return rows.map((row) => `${line(row).join('  ').trimEnd()}\n`).join('');
}
