/** A configuration that cannot be used; the message names the variable and never carries its value. */
export class ConfigError extends Error {
  override name = 'ConfigError';
}
