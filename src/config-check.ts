import { checkConfig } from './checking-config.ts';

/**
 * `npm run config:check`: what the environment and the file of GATEWAY_CONFIG, or the one that is named, configure, and what is wrong with
 * them, each with its line and column. Asks neither network nor database. Exits with 0 where the gateway would take it, else with 1.
 */
const { exitCode, lines } = checkConfig(process.argv[2]);
for (const line of lines) (exitCode === 1 ? console.error : console.log)(line);
process.exitCode = exitCode;
