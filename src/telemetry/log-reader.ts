import type { Logger } from '../log.ts';
import type { Observation, Observe, ObservedKind } from '../observation.ts';
import { LOG_LINES, type LogLine } from './log-lines.ts';

/** Writes a line of what is observed, where `LOG_LINES` has one for it. */
export function logReader(log: Logger): Observe {
  return (observation) => {
    const entry = LOG_LINES[observation.kind];
    if (entry === null) return;
    write(log, observation, entry as LogLine<ObservedKind> | ((one: Observation) => LogLine<ObservedKind> | null));
  };
}

function write(log: Logger, observation: Observation, entry: LogLine<ObservedKind> | ((one: Observation) => LogLine<ObservedKind> | null)) {
  const line = typeof entry === 'function' ? entry(observation) : entry;
  if (line === null || !log.isLevelEnabled(line.level)) return;
  const { kind: _, ...all } = observation;
  log[line.level](asText(line.fields?.(observation) ?? all), line.message);
}

/** JSON has no integers of this size: amounts are written as text. */
function asText(fields: Record<string, unknown>): Record<string, unknown> {
  return Object.fromEntries(Object.entries(fields).map(([name, value]) => [name, typeof value === 'bigint' ? String(value) : value]));
}
