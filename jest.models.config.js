import base from './jest.config.js';

/** A real small model through every surface, by clients as they are published: `npm run test:models`. Builds the model's server first. */
export default {
  ...base,
  testMatch: ['<rootDir>/test/real-models/**/*.test.ts'],
  testPathIgnorePatterns: ['/node_modules/'],
  // The model answers one request at a time.
  maxWorkers: 1,
  testTimeout: 120_000,
  globalSetup: '<rootDir>/test/real-models/global-setup.ts',
  globalTeardown: '<rootDir>/test/real-models/global-teardown.ts',
};
