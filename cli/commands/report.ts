import { writeFile } from 'node:fs/promises';
import { Command } from 'commander';
import { DebloatError, messageOf } from '../../analyzer/errors.js';
import { renderHtml } from '../../analyzer/report/html.js';
import { renderMarkdown } from '../../analyzer/report/markdown.js';
import type { Report } from '../../analyzer/report/model.js';
import { readReport, serializeReport } from '../../analyzer/report/read.js';
import { renderText } from '../../analyzer/report/text.js';
import { option } from '../options.js';

export const reportFormats = ['text', 'json', 'markdown', 'html'] as const;
type ReportFormat = (typeof reportFormats)[number];

/** `debloat report RESULT`: the report of an earlier build again. */
export function reportCommand(): Command {
  return new Command('report')
    .description('show the report of an earlier build again')
    .argument('<result>', 'output directory of a build, or its report.json')
    .addOption(
      option('--format <format>', 'form of the report').choices(reportFormats).default('text'),
    )
    .addOption(option('-o, --output <file>', 'write it there instead of to stdout'))
    .addOption(option('--debug', 'print stack traces and details of failures'))
    .action(async (result: string, options: { format: ReportFormat; output?: string }) => {
      const text = render(await readReport(result), options.format);
      if (options.output === undefined) process.stdout.write(text);
      else await write(options.output, text);
    });
}

/** `report` in the form asked for, ending in a newline. */
export function render(report: Report, format: ReportFormat): string {
  switch (format) {
    case 'text':
      return renderText(report);
    case 'json':
      return serializeReport(report);
    case 'markdown':
      return renderMarkdown(report);
    case 'html':
      return renderHtml(report);
  }
}

async function write(file: string, text: string): Promise<void> {
  try {
    await writeFile(file, text);
  } catch (error) {
    throw new DebloatError(`cannot write the report to ${file}: ${messageOf(error)}`, {
      cause: error,
    });
  }
}
