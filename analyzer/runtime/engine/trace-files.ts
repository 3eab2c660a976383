import { Readable } from 'node:stream';
import type Docker from 'dockerode';
import { extract } from 'tar-stream';
import { engineRequest } from './failure.js';
import { readAll } from './stream.js';

/** The contents of every file below `directory` of a container, running or ended. */
export async function filesBelow(docker: Docker, id: string, directory: string): Promise<Buffer[]> {
  const doing = "fetch the sensor's records";
  const archive = await engineRequest(
    doing,
    docker.getContainer(id).getArchive({ path: directory }),
  );
  return engineRequest(doing, filesOf(archive));
}

async function filesOf(archive: NodeJS.ReadableStream): Promise<Buffer[]> {
  const files: Buffer[] = [];
  const unpacked = extract();
  for await (const member of Readable.from(archive).pipe(unpacked)) {
    if (member.header.type === 'file')
      files.push(await readAll(member as unknown as NodeJS.ReadableStream));
    else member.resume();
  }
  return files;
}
