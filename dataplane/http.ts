import type * as http from 'node:http'

/**
 * Node's own HTTP. By its name in an import it would bring along all that it has, a browser's WebSocket among it: 3 MiB that
 * no proxy needs.
 */
export const {
  Agent, createServer, IncomingMessage, METHODS, ServerResponse, STATUS_CODES, validateHeaderName, validateHeaderValue,
} = process.getBuiltinModule('node:http')

export type Agent = http.Agent
export type IncomingMessage = http.IncomingMessage
export type ServerResponse = http.ServerResponse
