import base from './jest.config.js';

/** Faults that take minutes, gigabytes or root's rights to cause: `npm run test:faults`. */
export default {
  ...base,
  testMatch: ['<rootDir>/test/faults/**/*.test.ts'],
  testPathIgnorePatterns: ['/node_modules/'],
  maxWorkers: 1,
  testTimeout: 300_000,
};
