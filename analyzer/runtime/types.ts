import type { Image } from '../image/types.js';
import type { Workspace } from '../workspace/workspace.js';
import type { RawTrace } from '../trace/raw.js';

export const runtimeNames = ['docker', 'podman', 'runc', 'crun'] as const;
export type RuntimeName = (typeof runtimeNames)[number];

/** How the workload is started; everything left out is as the image says. */
export interface RunOptions {
  /** "NAME=value". */
  env?: string[];
  /** As in `docker run --mount`: "type=bind,source=…,target=…[,readonly]", "type=volume,…", "type=tmpfs,target=…". */
  mounts?: string[];
  /** Engine: a network's name, "host" or "none". OCI runtime: "host", "none" or its own (the default). */
  network?: string;
  /** As in `docker run --publish`: "[[ip:]hostPort:]containerPort[/proto]". */
  publish?: string[];
  /** TCP ports that this machine has to reach besides those that the image exposes. */
  ports?: number[];
  user?: string;
  /** Replaces the image's entrypoint (and drops its cmd unless `cmd` is given). */
  entrypoint?: string[];
  cmd?: string[];
}

export interface ExitStatus {
  /** 0..255; 128 + signal number if a signal ended it. */
  code: number;
}

export interface ExecResult extends ExitStatus {
  stdout: string;
  stderr: string;
}

/** A container of the workload, sensor in front. Every method rejects with a DebloatError. */
export interface Container {
  readonly id: string;
  /** The address at which this machine reaches the container's ports. */
  readonly host: string;
  /** What could not be done as asked and was done otherwise; one sentence each. */
  readonly warnings: readonly string[];
  /** Host and port at which this machine reaches `port` of the container. */
  reach(port: number): { host: string; port: number };
  /** Run `argv` inside, traced as well; `user` defaults to the workload's. */
  exec(argv: string[], options?: { user?: string; signal?: AbortSignal }): Promise<ExecResult>;
  /** Send `signal` ("SIGHUP") to the workload. */
  kill(signal: string): Promise<void>;
  /** Resolves when the workload's first process ends. */
  readonly exited: Promise<ExitStatus>;
  /** The last bytes (at most 64 KiB) of the workload's stdout and stderr. */
  logs(): Promise<string>;
  /** TCP ports that something inside listens on now. */
  listeningPorts(): Promise<number[]>;
  /** Stop signal, then SIGKILL after `graceSeconds` (default 10). Resolves when it is down. */
  stop(graceSeconds?: number): Promise<ExitStatus>;
  /** What the sensor recorded; after `exited`. */
  collect(): Promise<RawTrace>;
  /** Remove the container and all that belongs to it. Safe to call twice. */
  remove(): Promise<void>;
}

/** An image made ready to run. */
export interface LoadedImage {
  run(options: RunOptions): Promise<Container>;
  /** Undo the loading. Safe to call twice. */
  unload(): Promise<void>;
}

/** A way to run containers. */
export interface Runtime {
  readonly name: RuntimeName;
  /** One phrase with the version for reports: "Docker engine 20.10.24". */
  readonly description: string;
  /** Bring `image` to this runtime (nothing to do where it is there already). */
  load(image: Image, workspace: Workspace, signal?: AbortSignal): Promise<LoadedImage>;
}
