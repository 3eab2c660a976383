import { expect, test } from 'vitest';
import { portableReference } from './provenance.js';

test.each([
  ['oci:/home/me/layout:tag', 'oci:layout:tag'],
  ['docker-archive:./out/image.tar', 'docker-archive:image.tar'],
  ['docker-archive:/x/image.tar:team/app:1', 'docker-archive:image.tar:team/app:1'],
  ['dir:/x/y', 'dir:y'],
  ['docker://nginx:1', 'docker://nginx:1'],
  ['registry://localhost:5000/team/api:2', 'registry://localhost:5000/team/api:2'],
  ['nginx', 'nginx'],
])('%s is recorded as %s', (reference, recorded) => {
  expect(portableReference(reference)).toBe(recorded);
});
