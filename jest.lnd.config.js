import base from './jest.config.js';

/** The end-to-end suite against real Lightning nodes: `npm run test:lnd`. Builds them first, which takes minutes once. */
export default {
  ...base,
  testMatch: ['<rootDir>/test/lnd/**/*.test.ts'],
  testPathIgnorePatterns: ['/node_modules/'],
  maxWorkers: 1,
  testTimeout: 120_000,
  globalSetup: '<rootDir>/test/lnd/global-setup.ts',
};
