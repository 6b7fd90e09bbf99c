import { migrationNames } from '../db/migration-names.ts';
import type { Pool } from '../db/postgres.ts';
import { note, ok, problem, unknown, warning, type Check, type Finding } from './finding.ts';
import type { ReachedDatabase } from './reach-database.ts';

interface ServerRow {
  version: string;
  version_num: number;
  standby: boolean;
  read_only: boolean;
  encoding: string;
  fsync: string;
  full_page_writes: string;
  synchronous_commit: string;
  superuser: boolean;
  may_create: boolean;
  others_tables: number;
  tls: boolean;
  local: boolean;
  max_connections: number;
  role_connections: number;
  size_mb: number;
}

/** The oldest server that the schema has been tried with. */
const OLDEST_VERSION = 150_000;
/** What one gateway takes at most. */
export const CONNECTIONS_A_GATEWAY = 29;
const UNDEFINED_TABLE = '42P01';

const SERVER = `
  select current_setting('server_version') as version, current_setting('server_version_num')::integer as version_num,
    pg_is_in_recovery() as standby, current_setting('default_transaction_read_only') = 'on' as read_only,
    pg_encoding_to_char(d.encoding) as encoding, current_setting('fsync') as fsync, current_setting('full_page_writes') as full_page_writes,
    current_setting('synchronous_commit') as synchronous_commit, r.rolsuper as superuser,
    coalesce(has_schema_privilege(current_schema(), 'create'), false) as may_create,
    (select count(*)::integer from pg_tables t where t.schemaname = current_schema() and not pg_has_role(t.tableowner, 'usage')) as others_tables,
    coalesce((select s.ssl from pg_stat_ssl s where s.pid = pg_backend_pid()), false) as tls,
    coalesce(inet_client_addr() <<= any (array['127.0.0.0/8', '::1/128']::inet[]), true) as local,
    current_setting('max_connections')::integer as max_connections, r.rolconnlimit as role_connections,
    (pg_database_size(d.oid) / 1048576)::integer as size_mb
  from pg_database d, pg_roles r where d.datname = current_database() and r.rolname = current_user`;

/** The database: whether it answers, keeps what it is told, and lets the gateway do its work. */
export function databaseChecks(database: ReachedDatabase, production: boolean): Check[] {
  return [
    { name: 'database', look: () => (database.pool ? lookAtServer(database.pool, database, production) : notReached(database)) },
    { name: 'migrations', look: () => (database.pool ? lookAtMigrations(database.pool) : [notLookedAt]) },
  ];
}

/** For what cannot be told without it. */
export const notLookedAt = unknown('the database was not reached');

function notReached({ reason, advice, embedded }: ReachedDatabase): Finding[] {
  return [embedded ? unknown(String(reason), advice) : problem(`the database does not answer: ${reason}`, advice)];
}

async function lookAtServer(pool: Pool, { embedded }: ReachedDatabase, production: boolean): Promise<Finding[]> {
  const { rows } = await pool.query<ServerRow>(SERVER);
  const [row] = rows;
  if (!row) throw new Error('the server tells nothing of itself');
  const faults = [...durability(row), ...rights(row, embedded), ...connections(row)];
  if (row.version_num < OLDEST_VERSION)
    faults.push(warning(`PostgreSQL ${row.version}: the schema was tried with 15 and newer`, 'Upgrade PostgreSQL.'));
  if (row.encoding !== 'UTF8')
    faults.push(
      problem(`the database's encoding is ${row.encoding}`, "Make it anew: create database … encoding 'UTF8' template template0."),
    );
  if (!row.tls && !row.local) {
    faults.push(
      warning('the connection crosses a network without TLS', 'Set ssl = on at the server and add ?sslmode=require to DATABASE_URL.'),
    );
  }
  if (embedded && production) {
    faults.push(
      warning(
        'the embedded database in production: one machine, one gateway, copies only while it is stopped',
        'Set DATABASE_URL to a PostgreSQL with WAL archiving (docs/deploy.md).',
      ),
    );
  }
  return [ok(`PostgreSQL ${row.version}${embedded ? ', embedded' : ''}, ${row.size_mb} MB`), ...faults];
}

/** What is told as committed must be there after a loss of power. */
function durability({ standby, read_only, fsync, full_page_writes, synchronous_commit }: ServerRow): Finding[] {
  const found: Finding[] = [];
  if (standby) found.push(problem('this server is a standby and takes no writes', 'Let DATABASE_URL lead to the primary.'));
  else if (read_only)
    found.push(
      problem('transactions are read-only by default', 'alter role … reset default_transaction_read_only, or the same for the database.'),
    );
  const off = Object.entries({ fsync, full_page_writes }).filter(([, value]) => value === 'off');
  for (const [name] of off)
    found.push(problem(`${name} is off: a loss of power can lose the ledger`, `Set ${name} = on and restart PostgreSQL.`));
  if (synchronous_commit === 'off') {
    found.push(
      problem(
        'synchronous_commit is off: a crash loses charges and credits that were told',
        'Set synchronous_commit = on, or local with an asynchronous standby.',
      ),
    );
  }
  return found;
}

/** The embedded server has one user, and nobody else's data. */
function rights({ superuser, may_create, others_tables }: ServerRow, embedded: boolean): Finding[] {
  const found: Finding[] = [];
  if (superuser && !embedded)
    found.push(warning('the gateway connects as a superuser', 'Make a role of its own that owns its database only (docs/deploy.md).'));
  if (!may_create)
    found.push(
      problem(
        'the role may not make tables, so no migration can run',
        'grant create on schema public to …, or let the role own the database.',
      ),
    );
  if (others_tables > 0) {
    found.push(
      problem(
        `${others_tables} tables belong to another role, so migrations cannot change them`,
        'reassign owned by … to …, as a superuser.',
      ),
    );
  }
  return found;
}

function connections({ max_connections, role_connections }: ServerRow): Finding[] {
  const most = role_connections < 0 ? max_connections : Math.min(max_connections, role_connections);
  if (most >= CONNECTIONS_A_GATEWAY) return [];
  return [
    problem(
      `only ${most} connections are allowed, and a gateway takes up to ${CONNECTIONS_A_GATEWAY}`,
      'Raise max_connections, or the connection limit of the role.',
    ),
  ];
}

async function lookAtMigrations(pool: Pool): Promise<Finding[]> {
  const ours = await migrationNames();
  let applied: string[];
  try {
    applied = (await pool.query<{ name: string }>('select name from schema_migrations order by name')).rows.map(({ name }) => name);
  } catch (error) {
    if ((error as { code?: string }).code !== UNDEFINED_TABLE) throw error;
    return [note('the database is empty', 'The first start makes its tables.')];
  }
  const newer = applied.filter((name) => !ours.includes(name));
  const missing = ours.filter((name) => !applied.includes(name));
  if (newer.length > 0) {
    return [
      problem(
        `the database is newer than this version: it has ${newer.join(', ')}`,
        'Start the version that made them, or restore the backup of before the upgrade.',
      ),
    ];
  }
  if (missing.length > 0)
    return [
      note(
        `${missing.length} migrations are not applied yet, from ${missing[0]} on`,
        'Make a backup; the next start applies them, or npm run migrate.',
      ),
    ];
  return [ok(`all ${ours.length} are applied`)];
}
