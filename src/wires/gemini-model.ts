/** A model's name on Google's wires. An id may name a collection of its own (`tunedModels/…`). */
export function geminiModelName(model: string): string {
  return model.includes('/') ? model : `models/${model}`;
}

/** The path of a model's method, below the provider's base URL. */
export function geminiPath(model: string, method: string): string {
  const escaped = geminiModelName(model).split('/').map(encodeURIComponent).join('/');
  return `/${escaped}:${method}`;
}
