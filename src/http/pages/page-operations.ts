import { z } from 'zod';
import { form, page, text, type Operation } from '../server/operation.ts';

const ofInvoice = { params: z.object({ id: z.string().meta({ description: "The invoice's unguessable id." }) }) };
const STATUS_EVENTS =
  'event: status\ndata: {"status":"pending","receivedSats":null}\n\nevent: status\ndata: {"status":"paid","receivedSats":1000}\n\n';
const code = (id: string, path: string, summary: string, mediaType: string): Operation =>
  page({ id, path, summary, ...ofInvoice, answers: { 200: text('The code.', mediaType) }, errors: ['invoice_not_found'] });

/** The pages for everybody, and what they load. */
export const PAGE_OPERATIONS = {
  invoice: page({
    id: 'showInvoice',
    path: '/invoice/:id',
    summary: 'An invoice for a person: amount, code, state',
    ...ofInvoice,
    query: z.object({ from: z.string().optional().meta({ description: '`console`: with the way back there.' }) }),
    answers: { 404: text('There is no such invoice.') },
  }),
  svg: code('drawInvoice', '/invoice/:id/qr.svg', "An invoice's QR code as SVG", 'image/svg+xml'),
  png: code('drawInvoiceAsPng', '/invoice/:id/qr.png', "An invoice's QR code as PNG", 'image/png'),
  text: code('drawInvoiceAsText', '/invoice/:id/qr.txt', "An invoice's QR code for a terminal", 'text/plain'),
  events: page({
    id: 'followInvoice',
    path: '/invoice/:id/events',
    summary: "An invoice's state, now and at every change, as server-sent events",
    ...ofInvoice,
    answers: { 200: text('Events named `status`, until it is paid or the reader leaves.', 'text/event-stream', STATUS_EVENTS) },
    errors: ['invoice_not_found'],
  }),
  /** Exists beside the simulated node alone. */
  pay: form({
    id: 'payInvoice',
    path: '/invoice/:id/pay',
    summary: "The page's own payment with play money",
    ...ofInvoice,
    errors: ['not_permitted', 'invoice_not_found', 'lightning_unavailable'],
  }),
  status: page({ id: 'showStatus', path: '/status', summary: 'How the gateway does, for a person' }),
  asset: page({
    id: 'getAsset',
    path: '/assets/:name',
    summary: 'A file that pages load',
    query: z.object({ v: z.string().optional().meta({ description: 'Its version: with it, a browser may keep the file for ever.' }) }),
    answers: {
      200: {
        description: 'The file.',
        content: Object.fromEntries(
          ['text/css', 'text/javascript', 'image/svg+xml'].map((mediaType) => [mediaType, { schema: z.string() }]),
        ),
      },
      304: { description: 'It has not changed.' },
    },
    errors: ['not_found'],
  }),
} as const satisfies Record<string, Operation>;
