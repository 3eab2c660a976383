import pc from 'picocolors';
import { bytes, printable } from './format.js';

/** Lines of a terminal page of fixed width. All text given to it is made printable. */
export class TextPage {
  readonly #lines: string[] = [];
  readonly width: number;
  readonly paint: ReturnType<typeof pc.createColors>;

  constructor(width: number, color: boolean) {
    this.width = width;
    this.paint = pc.createColors(color);
  }

  text(): string {
    return `${this.#lines.map((line) => line.trimEnd()).join('\n')}\n`;
  }

  /** A finished line. */
  line(text: string): void {
    this.#lines.push(text);
  }

  title(text: string): void {
    this.#lines.push('', this.paint.dim(text.trimEnd()));
  }

  /** A size and what has it; `note` is put behind it, or below where there is no room. */
  sized(size: number, what: string, paint = (text: string) => text, note = ''): void {
    const head = `  ${bytes(size).padStart(8)}  `;
    const room = this.width - head.length;
    const text = this.cut(what, room);
    const dimNote = this.cut(note, room);
    if (note === '') this.line(head + paint(text));
    else if (text.length + 2 + printable(note).length <= room)
      this.line(`${head}${text}  ${this.paint.dim(dimNote)}`);
    else this.#lines.push(head + text, ' '.repeat(head.length) + this.paint.dim(dimNote));
  }

  place(label: string, text: string): void {
    this.line(`  ${label.padEnd(8)} ${printable(text)}`);
  }

  /** A bar of what is left, in the room behind column `from`. */
  bar(left: number | undefined, from: number): string {
    const room = Math.min(24, this.width - from - 3);
    if (left === undefined || room < 8) return '';
    const filled = Math.min(room, Math.ceil(left * room));
    return `  ${this.paint.cyan('█'.repeat(filled))}${this.paint.dim('░'.repeat(room - filled))}`;
  }

  /** `text` within `room` columns, shortened in the middle. */
  cut(text: string, room: number): string {
    const chars = Array.from(printable(text));
    if (chars.length <= room) return chars.join('');
    const head = Math.floor((room - 1) / 3);
    return `${chars.slice(0, head).join('')}…${chars.slice(head + 1 - room).join('')}`;
  }

  /** `text` in as many lines as it needs, the first behind `head`, the others indented as far. */
  wrap(head: string, text: string): void {
    const indent = stripColors(head).length;
    let line = '';
    let prefix = head;
    const flush = (): void => {
      this.line(prefix + line);
      prefix = ' '.repeat(indent);
      line = '';
    };
    for (const word of printable(text).split(' ')) {
      if (line !== '' && indent + line.length + 1 + word.length > this.width) flush();
      line += line === '' ? word : ` ${word}`;
    }
    flush();
  }
}

function stripColors(text: string): string {
  return text.replace(/\u001b\[\d+m/g, '');
}
