import { basename } from 'node:path';
import { describe, expect, it } from 'vitest';
import { SensorMissingError, sensorPath } from './sensor.js';

describe('sensorPath', () => {
  it('finds the sensor that `npm run build` made, by either name of the machine', () => {
    expect(basename(sensorPath())).toMatch(/^sensor-(amd64|arm64)$/);
    if (process.arch === 'x64') expect(sensorPath('amd64')).toBe(sensorPath('x64'));
    else expect(sensorPath('arm64')).toBe(sensorPath());
  });

  it('says what to do where there is none', () => {
    expect(() => sensorPath('s390x')).toThrow(SensorMissingError);
    const other = process.arch === 'x64' ? 'arm64' : 'amd64';
    expect(() => sensorPath(other)).toThrow(/is not built/);
  });
});
