import { existsSync } from 'node:fs';
import { fileURLToPath } from 'node:url';

/** Node's and OCI's names of the machines that the sensor is built for, as its file is named. */
const architectures: Record<string, string> = {
  x64: 'amd64',
  amd64: 'amd64',
  arm64: 'arm64',
};

// Built, this file is dist/native/sensor.js and the sensor lies beside it; the sources have it in dist/native.
const places = ['./', '../dist/native/'];

/** The sensor is not there for this machine; the message says what to do. */
export class SensorMissingError extends Error {
  override readonly name = 'SensorMissingError';
  readonly hint: string;

  constructor(message: string, hint: string) {
    super(message);
    this.hint = hint;
  }
}

/**
 * The sensor's executable for `arch` (Node's or OCI's name: "x64", "amd64", "arm64").
 * Throws a SensorMissingError where there is none.
 */
export function sensorPath(arch: string = process.arch): string {
  const machine = architectures[arch];
  if (machine === undefined) {
    throw new SensorMissingError(
      `there is no sensor for ${arch}`,
      'trace an amd64 or arm64 image on a machine of the same kind',
    );
  }
  for (const place of places) {
    const file = fileURLToPath(new URL(`${place}sensor-${machine}`, import.meta.url));
    if (existsSync(file)) return file;
  }
  throw new SensorMissingError(
    `the sensor for ${machine} is not built`,
    'run `npm run build` on such a machine (it needs gcc and libc6-dev)',
  );
}
