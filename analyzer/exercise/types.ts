/** One way to exercise the workload. */
export type Probe =
  /** GET by default; `expect` is a status code range such as "200" or "2xx-3xx" (the default: below 500). */
  | {
      kind: 'http';
      path: string;
      port?: number;
      method?: string;
      expect?: string;
      body?: string;
      headers?: Record<string, string>;
    }
  | { kind: 'tcp'; port: number }
  /** In the container, by its shell if it has one, else split into words. */
  | { kind: 'exec'; command: string }
  /** On this machine, by `sh -c`, with DEBLOAT_CONTAINER, DEBLOAT_HOST and DEBLOAT_PORT_<port> set. */
  | { kind: 'host-exec'; command: string };

/** When a run is over: all probes done, a signal (SIGUSR1 or Ctrl-C) to debloat, or so many seconds after ready. */
export type ContinueAfter =
  { kind: 'probes' } | { kind: 'signal' } | { kind: 'seconds'; seconds: number };

export interface ExercisePlan {
  probes: Probe[];
  continueAfter: ContinueAfter;
  /** Seconds that the workload may take to become ready, and each probe to succeed. */
  timeout: number;
}

export interface ProbeOutcome {
  probe: Probe;
  ok: boolean;
  /** One phrase: "HTTP 200, 612 bytes", "connection refused on port 80", "exit code 1: …". */
  detail: string;
  /** Of an HTTP probe that was answered. */
  status?: number;
  seconds: number;
}
