/** The first request in one language, ready to be run. */
export interface Snippet {
  readonly language: string;
  readonly code: string;
}

/** What stands for a key where none is to be shown. */
export const KEY_PLACEHOLDER = 'YOUR_KEY';

/** The first request as curl, Python and TypeScript have it. `origin` is the gateway's own, without a slash at the end. */
export function snippets(origin: string, secret = KEY_PLACEHOLDER): Snippet[] {
  const baseUrl = `${origin}/v1`;
  return [
    { language: 'curl', code: curl(`${baseUrl}/chat/completions`, secret) },
    { language: 'Python', code: python(baseUrl, secret) },
    { language: 'TypeScript', code: typeScript(baseUrl, secret) },
  ];
}

/** A request without a key: its answer is a 402 with an invoice. */
export function keylessSnippet(origin: string): string {
  return curl(`${origin}/l402/v1/chat/completions`);
}

function curl(url: string, secret?: string): string {
  const lines = [
    `curl${secret === undefined ? ' -i' : ''} ${url}`,
    ...(secret === undefined ? [] : [`  -H "Authorization: Bearer ${secret}"`]),
    '  -H "Content-Type: application/json"',
    `  -d '{"model": "auto", "messages": [{"role": "user", "content": "Hello"}]}'`,
  ];
  return lines.join(' \\\n');
}

function python(baseUrl: string, secret: string): string {
  return [
    '# pip install openai',
    'from openai import OpenAI',
    '',
    `client = OpenAI(base_url="${baseUrl}", api_key="${secret}")`,
    'answer = client.chat.completions.create(',
    '    model="auto",',
    '    messages=[{"role": "user", "content": "Hello"}],',
    ')',
    'print(answer.choices[0].message.content)',
  ].join('\n');
}

function typeScript(baseUrl: string, secret: string): string {
  return [
    '// npm install openai',
    "import OpenAI from 'openai';",
    '',
    `const client = new OpenAI({ baseURL: '${baseUrl}', apiKey: '${secret}' });`,
    'const answer = await client.chat.completions.create({',
    "  model: 'auto',",
    "  messages: [{ role: 'user', content: 'Hello' }],",
    '});',
    'console.log(answer.choices[0].message.content);',
  ].join('\n');
}
