import type { TestContainer } from '../../support/container.js';

/** How a test image is exercised, and what has to work afterwards. */
export interface Workload {
  /** Folder of test/images. */
  image: string;
  /** Flags of `debloat build` that exercise it. */
  probes: string[];
  /** At most this fraction of the uncompressed size may be left (policy `balanced`). */
  atMost: number;
  /** What the probes did, in an untraced container of the debloated image. */
  works(container: TestContainer): Promise<string>;
  /** What `works` gives. */
  gives: RegExp;
  /** Something that the probes did not do, and that `balanced` is to keep all the same. */
  rare?: { does(container: TestContainer): Promise<string>; gives: RegExp };
}

const body =
  (port: number, path: string) =>
  async (container: TestContainer): Promise<string> => {
    const { status, body: text } = await container.get(port, path);
    return `${status} ${text}`;
  };

export const workloads: Workload[] = [
  {
    image: 'nginx',
    probes: ['--http', '/', '--http', '/about'],
    atMost: 0.35,
    works: body(80, '/about'),
    gives: /^200 .*Found by try_files/s,
    rare: { does: body(80, '/nowhere'), gives: /^404 / },
  },
  {
    image: 'redis',
    probes: ['--exec', 'redis-cli set key value', '--exec', 'redis-cli bgsave'],
    atMost: 0.35,
    works: (container) => container.exec(['redis-cli', 'set', 'key', 'value']),
    gives: /^OK$/,
    rare: {
      does: (container) => container.exec(['redis-cli', 'save']),
      gives: /^OK$/,
    },
  },
  {
    image: 'postgres',
    probes: ['--exec', 'psql -U postgres -c "select count(*) from visits"'],
    atMost: 0.6,
    works: (container) =>
      container.exec(['psql', '-U', 'postgres', '-Atc', 'select place from visits']),
    gives: /^first run$/,
    rare: {
      does: (container) =>
        container.exec([
          'psql',
          '-U',
          'postgres',
          '-Atc',
          "select ('2024-07-01 12:00 UTC'::timestamptz) at time zone 'Asia/Tokyo'",
        ]),
      gives: /^2024-07-01 21:00:00$/,
    },
  },
  {
    image: 'flask',
    probes: ['--http', '/'],
    atMost: 0.5,
    works: body(5000, '/'),
    gives: /^200 .*Hello from debloat/s,
    rare: { does: body(5000, '/report'), gives: /^200 .*"zone":"Europe\/Rome"/ },
  },
  {
    image: 'node',
    probes: ['--http', '/'],
    atMost: 0.6,
    works: body(3000, '/'),
    gives: /^200 Hello from Node/,
    rare: { does: body(3000, '/zip'), gives: /^200 H4sI/ },
  },
  {
    image: 'haproxy',
    probes: ['--http', '/'],
    atMost: 0.35,
    works: body(8080, '/'),
    gives: /^200 Hello from haproxy/,
    rare: { does: body(8080, '/nobody'), gives: /^503 .*Nobody home/s },
  },
  {
    image: 'static',
    probes: ['--http', '/'],
    atMost: 1,
    works: body(8080, '/'),
    gives: /^200 .*Served by a static binary/s,
  },
  {
    image: 'non-root',
    probes: ['--http', '/'],
    atMost: 0.5,
    works: body(8000, '/'),
    gives: /^200 1000 told to nobody else/,
  },
  {
    image: 'apache-php',
    probes: ['--http', '/'],
    atMost: 0.6,
    works: body(80, '/'),
    gives: /^200 Hello from PHP 8/,
    rare: { does: body(80, '/?database'), gives: /^200 3\./ },
  },
  {
    image: 'odd',
    probes: ['--http', '/'],
    atMost: 1,
    works: body(8080, '/'),
    gives: /^200 Everything odd is in its place/,
  },
];
