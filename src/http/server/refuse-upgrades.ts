import type { RequestHandler } from 'express';
import { GatewayError } from '../../errors.ts';

/**
 * Answers 426 at once where a WebSocket is asked for: clients that prefer one go over to POST then, and try after any other status again and
 * again.
 */
export const refuseUpgrades: RequestHandler = (req, _res, next) => {
  if (req.headers.upgrade?.toLowerCase() !== 'websocket') return next();
  throw new GatewayError('upgrade_required', { headers: { Connection: 'close' } });
};
