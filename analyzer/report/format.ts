/**
 * `value` bytes for people, in decimal units as Docker prints them: "512 B", "12.3 MB", "1.25 GB".
 * Its source text is also put into the HTML report, so it uses nothing outside of itself.
 */
export function bytes(value: number): string {
  const units = ['B', 'kB', 'MB', 'GB', 'TB', 'PB'];
  let unit = 0;
  let amount = value;
  // 999.5 would round to a fourth digit: it is one of the next unit
  while (Math.abs(amount) >= 999.5 && unit < units.length - 1) {
    amount /= 1000;
    unit++;
  }
  if (unit === 0) return `${amount} B`;
  const digits = amount >= 99.95 ? 0 : amount >= 9.995 ? 1 : 2;
  return `${amount.toFixed(digits)} ${units[unit] ?? ''}`;
}

/** The fraction of `before` that is not in `after` any more: 0.93, or 0 if there was nothing. */
export function savedFraction(before: number, after: number): number {
  return before === 0 ? 0 : (before - after) / before;
}

/** A fraction as "93.2%", rounded down so that savings are never overstated. */
export function percent(fraction: number): string {
  return `${(Math.floor(fraction * 1000 + 1e-9) / 10).toFixed(1)}%`;
}

/** A duration: "0.4 s", "12.3 s", "2 min 05 s". */
export function duration(seconds: number): string {
  if (seconds < 99.95) return `${seconds.toFixed(1)} s`;
  const whole = Math.round(seconds);
  return `${Math.floor(whole / 60)} min ${String(whole % 60).padStart(2, '0')} s`;
}

/** A whole number with thousands set apart: "12,345". */
export function count(value: number): string {
  return value.toLocaleString('en-US');
}

/** `value` and its noun: "1 file", "1,234 files". */
export function counted(value: number, noun: string): string {
  return `${count(value)} ${noun}${value === 1 ? '' : 's'}`;
}

/**
 * Text that came from an image or a container, made safe to show: control characters, bytes that
 * are no UTF-8, and characters that reorder text become "\x1b" or "\u202e".
 */
export function printable(text: string): string {
  return text.replace(
    /[\p{Cc}\p{Cs}\u2028\u2029\u200e\u200f\u202a-\u202e\u2066-\u2069\ufeff]/gu,
    (char) => {
      const unit = char.charCodeAt(0);
      const escapedByte = unit >= 0xdc80 && unit <= 0xdcff ? unit - 0xdc00 : unit;
      return escapedByte <= 0xff
        ? `\\x${escapedByte.toString(16).padStart(2, '0')}`
        : `\\u${escapedByte.toString(16).padStart(4, '0')}`;
    },
  );
}

/** `word` so that a POSIX shell reads it back as one word. */
export function shellWord(word: string): string {
  return /^[\w@%+=:,./-]+$/.test(word) ? word : `'${word.replaceAll("'", "'\\''")}'`;
}
