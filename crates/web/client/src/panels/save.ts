// SPDX-License-Identifier: EUPL-1.2
/** Has the browser save something under a name: it asks or puts it where downloads go, and never shows it as a page. */
export function save(blob: Blob, name: string): void {
  const url = URL.createObjectURL(blob);
  const link = document.createElement('a');
  link.href = url;
  link.download = name;
  link.click();
  // The download has begun by then; without this the content would be held for as long as the page is open.
  setTimeout(() => URL.revokeObjectURL(url), 30_000);
}

/** A table for spreadsheets (RFC 4180). A cell that a spreadsheet would take for a formula is text. */
export function csv(rows: readonly (readonly (string | number)[])[]): string {
  const cell = (value: string | number) => {
    const text = typeof value === 'string' && /^[=+\-@\t\r]/.test(value) ? `'${value}` : String(value);
    return /[",\r\n]/.test(text) ? `"${text.replaceAll('"', '""')}"` : text;
  };
  return rows.map((row) => `${row.map(cell).join(',')}\r\n`).join('');
}
