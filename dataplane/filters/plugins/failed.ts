import { failure } from '../../pipeline/errors.ts'

/** For the log of a request: what was thrown, and where. */
export const causeOf = (plugin: string, why: string): string => `plugin ${plugin}: ${why.split('\n', 2).map((line) => line.trim()).join(' ')}`

export const pluginFailed = failure('plugin_failed', 'A plugin of the gateway failed.')
