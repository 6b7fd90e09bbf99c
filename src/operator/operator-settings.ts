import type { Notifications } from '../db/notify.ts';
import type { Pool } from '../db/postgres.ts';
import type { Logger } from '../log.ts';
import type { FleetHealth } from '../routing/fleet-health.ts';
import { performAct, type Act, type NewAct } from './acts.ts';

export interface OperatorSettingsOptions {
  pool: Pool;
  notifications: Pick<Notifications, 'listen'>;
  health: Pick<FleetHealth, 'switchOff'>;
  log: Logger;
}

/** An act by which a setting is made. */
type SettingAct = Omit<NewAct, 'act' | 'subject'>;

const CHANNEL = 'operator_settings';
const PROVIDER = 'provider:';
const LOG_LEVEL = 'log_level';
export const LOG_LEVELS = ['fatal', 'error', 'warn', 'info', 'debug', 'trace', 'silent'] as const;
export type LogLevel = (typeof LOG_LEVELS)[number];

/**
 * What operators have set while gateways run, in every gateway of a database and over restarts: providers that are off, the log's level.
 * Each gateway hears of a change at once, and reads all of it again whenever it may have missed one.
 */
export class OperatorSettings {
  readonly #options: OperatorSettingsOptions;
  readonly #configuredLevel: string;
  readonly #stopListening: () => void;
  #off: ReadonlySet<string> = new Set();

  constructor(options: OperatorSettingsOptions) {
    this.#options = options;
    this.#configuredLevel = options.log.level;
    const read = () =>
      void this.load().catch((error: unknown) => options.log.warn({ err: error }, 'what operators have set could not be read'));
    this.#stopListening = options.notifications.listen(CHANNEL, read, read);
  }

  /** The providers that are off. */
  get off(): ReadonlySet<string> {
    return this.#off;
  }

  /** The log's level in this gateway. */
  get logLevel(): string {
    return this.#options.log.level;
  }

  /** Reads what is set, and puts it in force in this gateway. */
  async load(): Promise<void> {
    const { pool, health, log } = this.#options;
    const { rows } = await pool.query<{ name: string; value: string }>('select name, value from operator_settings');
    const off = rows
      .filter(({ name, value }) => name.startsWith(PROVIDER) && value === 'off')
      .map(({ name }) => name.slice(PROVIDER.length));
    this.#off = new Set(off);
    health.switchOff(this.#off);
    const level = rows.find(({ name }) => name === LOG_LEVEL)?.value ?? this.#configuredLevel;
    if (log.level !== level && isLevel(level)) log.level = level;
  }

  /** Switches a provider off or on. Requests under way at it come to their end. */
  async switchProvider(act: SettingAct, providerId: string, on: boolean): Promise<Act> {
    const full: NewAct = { ...act, act: on ? 'provider_on' : 'provider_off', subject: { kind: 'provider', id: providerId } };
    return this.#set(full, PROVIDER + providerId, on ? null : 'off');
  }

  /** Sets the log's level; null is the configured one. */
  setLogLevel(act: SettingAct, level: LogLevel | null): Promise<Act> {
    const asked = { level: level ?? 'as configured' };
    return this.#set({ ...act, act: 'log_level', subject: { kind: 'gateway', id: 'all' }, asked }, LOG_LEVEL, level);
  }

  /** The setting and its record, in one transaction; null takes the setting back. */
  async #set(act: NewAct, name: string, value: string | null): Promise<Act> {
    const { pool } = this.#options;
    const { act: done, replayed } = await performAct(
      pool,
      act,
      () => Promise.resolve({}),
      async (client) => {
        await client.query('delete from operator_settings where name = $1', [name]);
        if (value !== null)
          await client.query('insert into operator_settings (name, value, act_id) values ($1, $2, $3)', [name, value, act.id]);
        await client.query('select pg_notify($1, $2)', [CHANNEL, name]);
      },
    );
    if (!replayed) await this.load();
    return done;
  }

  stop(): void {
    this.#stopListening();
  }
}

function isLevel(level: string): level is LogLevel {
  return (LOG_LEVELS as readonly string[]).includes(level);
}
