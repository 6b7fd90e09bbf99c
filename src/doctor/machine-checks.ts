import { note, ok, problem, unknown, warning, type Check, type Finding } from './finding.ts';
import type { ReachedDatabase } from './reach-database.ts';
import type { World } from './world.ts';

const GB = 1e9;
const LITTLE_GB = 5;
const TOO_LITTLE_GB = 1;
/** Each stream takes two: its client's and its provider's. */
const FEW_FILES = 16_384;
const TOO_FEW_FILES = 1_024;
const OLDEST_NODE = [22, 19] as const;

/** The machine: room on its disk, files it may open, the version of Node. */
export function machineChecks(database: ReachedDatabase, world: World): Check[] {
  return [
    { name: 'disk', look: () => lookAtDisk(database, world) },
    { name: 'open files', look: () => lookAtFiles(world) },
    { name: 'Node', look: () => lookAtNode(world) },
  ];
}

async function lookAtDisk({ embedded, dataDir }: ReachedDatabase, world: World): Promise<Finding[]> {
  if (!embedded)
    return [
      note(
        'the database has its own disk, which cannot be seen from here',
        'Watch it there: a full one stops the gateway, and loses nothing.',
      ),
    ];
  if (dataDir === null) return [unknown('there is no data directory yet')];
  const { freeBytes, totalBytes } = await world.disk(dataDir);
  const free = freeBytes / GB;
  const told = `${free.toFixed(1)} GB of ${(totalBytes / GB).toFixed(1)} GB are free where the database is`;
  const advice = 'Make room, or move DATA_DIR: with a full disk nothing is served.';
  if (free < TOO_LITTLE_GB) return [problem(told, advice)];
  return [free < LITTLE_GB ? warning(told, advice) : ok(told)];
}

function lookAtFiles(world: World): Finding[] {
  const files = world.openFiles();
  if (files === null) return [ok('not limited here')];
  const told = `${files} may be open at once by what is started from here`;
  const advice = 'Raise it: LimitNOFILE in the systemd unit, ulimits in compose, ulimit -n in a shell. A stream takes two.';
  if (files < TOO_FEW_FILES) return [problem(told, advice)];
  return [files < FEW_FILES ? warning(`${told}, enough for ${Math.floor(files / 2)} streams`, advice) : ok(told)];
}

function lookAtNode({ nodeVersion }: World): Finding[] {
  const [major = 0, minor = 0] = nodeVersion.split('.').map(Number);
  const [oldestMajor, oldestMinor] = OLDEST_NODE;
  if (major > oldestMajor || (major === oldestMajor && minor >= oldestMinor)) return [ok(nodeVersion)];
  return [
    problem(`${nodeVersion} is older than ${oldestMajor}.${oldestMinor}`, 'Start with npm, which brings a newer one, or install it.'),
  ];
}
