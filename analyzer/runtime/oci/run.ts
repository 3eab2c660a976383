import { randomBytes } from 'node:crypto';
import { chmod, copyFile, mkdir, readFile, rm, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import type { ImagePath } from '../../image/path.js';
import type { Image } from '../../image/types.js';
import type { Workspace } from '../../workspace/workspace.js';
import { startTimeOf } from '../../workspace/processes.js';
import { parseMount } from '../mount-option.js';
import { traceDirMode } from '../sensor.js';
import type { Container, RunOptions } from '../types.js';
import { workloadArgv, workloadEnv } from '../workload.js';
import type { OciCli } from './cli.js';
import { OciContainer } from './container.js';
import { writeEtcFiles } from './etc-files.js';
import { OutputPipe } from './output-pipe.js';
import { PublishedPorts } from './published-ports.js';
import { writableRootfs } from './rootfs.js';
import { networkFor } from './run-network.js';
import { ociProcess, ociSpec, type SpecRequest } from './spec.js';
import { exitOf, pidWhenStarted } from './started-process.js';
import { Undo } from './undo.js';
import { resolveUser } from './user.js';

export interface OciRun {
  cli: OciCli;
  image: Image;
  /** The unpacked tree. */
  lower: string;
  /** The sensor's program. */
  sensor: string;
  workspace: Workspace;
  options: RunOptions;
}

/** Start the workload with the sensor in front of it. */
export async function runOci(run: OciRun): Promise<Container> {
  const undo = new Undo();
  try {
    return await start(run, undo);
  } catch (error) {
    await undo.all().catch(() => undefined); // still in the journal; the first failure is the one to tell
    throw error;
  }
}

async function start(run: OciRun, undo: Undo): Promise<Container> {
  const { cli, image, workspace, options } = run;
  const config = image.config.value.config ?? {};
  const warnings: string[] = [];
  const runDir = await workspace.directory('run');
  undo.add(() => rm(runDir, { recursive: true, force: true }));
  const rootfs = await writableRootfs(run.lower, runDir, image, workspace);
  undo.add(rootfs.release);
  const network = await networkFor(options, workspace, warnings);
  undo.add(network.release);
  const published = await PublishedPorts.open(options.publish ?? [], network.host);
  undo.add(() => published.close());

  const id = `debloat-${randomBytes(6).toString('hex')}`;
  const hostname = id.slice(-12);
  const sensorDirectory = await placeSensor(run.sensor, runDir);
  const [passwd, group] = await Promise.all(
    ['/etc/passwd', '/etc/group'].map((path) => textOf(image, path)),
  );
  const who = (spec: string) => resolveUser(spec, passwd ?? '', group ?? '');
  const request: SpecRequest = {
    argv: workloadArgv(config, options),
    env: workloadEnv(config, options),
    cwd: config.WorkingDir ?? '/',
    user: who(options.user ?? config.User ?? ''),
    hostname,
    openFiles: await openFilesLimit(),
    rootfs: rootfs.path,
    sensorDirectory,
    etcFiles: await writeEtcFiles(runDir, hostname, network.address),
    network: network.spec,
    mounts: (options.mounts ?? []).map(parseMount),
    volumes: await missingVolumes(image, runDir, options, warnings),
  };
  const bundle = join(runDir, 'bundle');
  await mkdir(bundle);
  await writeFile(join(bundle, 'config.json'), JSON.stringify(ociSpec(request)));

  const output = await OutputPipe.create(join(runDir, 'output'));
  undo.add(() => output.close());
  const { binary, root } = cli;
  const handle = workspace.register({ kind: 'oci-container', binary, root, id });
  undo.add(() => workspace.release(handle));
  const [log, pidFile] = [join(runDir, 'log'), join(runDir, 'pid')];
  const child = cli.start(
    ['run', '--bundle', bundle, '--pid-file', pidFile, id],
    log,
    output.descriptor,
    output.descriptor,
  );
  output.handOver();
  const exited = exitOf(child);
  exited.catch(() => undefined); // told to whoever awaits it
  if (child.pid !== undefined) {
    const startTime = startTimeOf(child.pid) ?? '';
    const watcher = workspace.register({ kind: 'process', pid: child.pid, startTime });
    void exited.finally(() => workspace.forget(watcher)).catch(() => undefined);
  }
  const pid = await pidWhenStarted(exited, pidFile, log, 'the container');
  return new OciContainer({
    id,
    cli,
    pid,
    exited,
    output,
    host: network.host,
    stopSignal: config.StopSignal ?? 'SIGTERM',
    warnings,
    runDir,
    traceDirectory: join(sensorDirectory, 'trace'),
    hadPorts: network.hadPorts,
    execProcess: (argv, user) =>
      ociProcess({ ...request, argv, ...(user !== undefined && { user: who(user) }) }),
    release: async () => {
      await workspace.release(handle); // kills what still runs
      await exited.catch(() => undefined);
      await undo.all();
    },
  });
}

async function placeSensor(sensor: string, runDir: string): Promise<string> {
  const dir = join(runDir, 'sensor');
  const trace = join(dir, 'trace');
  await mkdir(trace, { recursive: true });
  await chmod(dir, 0o755);
  await chmod(trace, traceDirMode);
  await copyFile(sensor, join(dir, 'sensor'));
  await chmod(join(dir, 'sensor'), 0o755);
  return dir;
}

async function textOf(image: Image, path: ImagePath): Promise<string> {
  const { node } = image.tree.resolve(path);
  return node?.kind === 'file' ? (await image.read(node)).toString('utf8') : '';
}

/** Volumes lie in the run's own writable tree; those whose directory the image lacks get an empty one. */
async function missingVolumes(
  image: Image,
  runDir: string,
  options: RunOptions,
  warnings: string[],
): Promise<SpecRequest['volumes']> {
  const volumes = Object.keys(image.config.value.config?.Volumes ?? {});
  for (const { type, source, target } of (options.mounts ?? []).map(parseMount)) {
    if (type !== 'volume') continue;
    volumes.push(target);
    if (source !== undefined) {
      warnings.push(`The volume "${source}" is a new one: without an engine none are kept.`);
    }
  }
  const missing = [...new Set(volumes)].filter(
    (target) => image.tree.resolve(target).node === undefined,
  );
  return Promise.all(
    missing.map(async (target, position) => {
      const source = join(runDir, `volume-${position}`);
      await mkdir(source);
      await chmod(source, 0o755);
      return { source, target };
    }),
  );
}

/** Our own hard limit of open files, at most what engines usually give. */
async function openFilesLimit(): Promise<number> {
  const limits = await readFile('/proc/self/limits', 'utf8');
  const hard = /^Max open files\s+\S+\s+(\d+)/m.exec(limits)?.[1];
  return Math.min(Number(hard ?? 1024), 1048576);
}
