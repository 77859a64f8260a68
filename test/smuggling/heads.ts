import { bodies, shorthand, type Case, type Outcome } from './corpus.ts'

const { get, head, post, target, refused, served, hidden } = shorthand

type Row = readonly [hazard: string, bytes: string, outcome: Outcome]

const lines: readonly Row[] = [
  ['HTTP/0.9', 'GET /x\r\n\r\n', refused()],
  ['HTTP/0.9 by number', head('GET /x HTTP/0.9', 'Host: a'), refused()],
  ['HTTP/2.0 in an HTTP/1 line', head('GET /x HTTP/2.0', 'Host: a'), refused()],
  ['HTTP/1.2', head('GET /x HTTP/1.2', 'Host: a'), refused()],
  ['HTTP/1.10', head('GET /x HTTP/1.10', 'Host: a'), refused()],
  ['http/1.1 in lower case', head('GET /x http/1.1', 'Host: a'), refused()],
  ['HTTP/1,1', head('GET /x HTTP/1,1', 'Host: a'), refused()],
  ['two spaces before the target', head('GET  /x HTTP/1.1', 'Host: a'), served('GET /x 0')],
  ['a tab before the target', head('GET\t/x HTTP/1.1', 'Host: a'), refused()],
  ['a space in the target', head('GET /x /smuggled HTTP/1.1', 'Host: a'), refused()],
  ['a line ended by a bare LF', 'GET /x HTTP/1.1\nHost: a\r\n\r\n', refused()],
  ['a line ended by a bare CR', 'GET /x HTTP/1.1\rHost: a\r\n\r\n', refused()],
  ['a head ended by a bare LF', 'GET /x HTTP/1.1\r\nHost: a\r\n\n', refused()],
  ['a header before the line', ' Host: a\r\nGET /x HTTP/1.1\r\n\r\n', refused()],
  ['a method in lower case', head('get /x HTTP/1.1', 'Host: a'), refused()],
  ['a method that is none', head('GE(T /x HTTP/1.1', 'Host: a'), refused()],
  ['a method nobody knows', head('SMUGGLE /x HTTP/1.1', 'Host: a'), refused()],
  ['CONNECT', head('CONNECT a:80 HTTP/1.1', 'Host: a'), refused(405)],
  ['CONNECT with a path', head('CONNECT /x HTTP/1.1', 'Host: a'), refused(405)],
  ['empty lines before the request', `\r\n\r\n${get()}`, served('GET /x 0')],
]

const targets: readonly Row[] = [
  ['absolute-form of another host', head('GET http://b/x HTTP/1.1', 'Host: a'), refused()],
  ['absolute-form with user info', head('GET http://u@a/x HTTP/1.1', 'Host: a'), refused()],
  ['absolute-form of another port', head('GET http://a:81/x HTTP/1.1', 'Host: a'), refused()],
  ['absolute-form without a Host', head('GET http://a/x HTTP/1.1'), refused()],
  ['absolute-form of a file', head('GET file:///x HTTP/1.1', 'Host: a'), refused()],
  ['absolute-form of the same host', head('GET http://A/x HTTP/1.1', 'Host: a'), served('GET /x 0')],
  ['authority-form', target('a:80'), refused()],
  ['asterisk-form', head('OPTIONS * HTTP/1.1', 'Host: a'), refused()],
  ['a target without a slash', target('x'), refused()],
  ['a target with a query only', target('?x'), refused()],
  ['a fragment', target('/x#/smuggled'), refused()],
  ['a fragment in the query', target('/x?y#z'), refused()],
  ['a backslash', target('/x\\..\\smuggled'), refused()],
  ['a zero byte, escaped', target('/x%00y'), refused()],
  ['a zero byte', target('/x\0y'), refused()],
  ['a broken escape', target('/x%2'), refused()],
  ['an escape of no number', target('/x%zz'), refused()],
  ['a delete character', target('/x\x7f'), refused()],
  ['a Latin-1 letter', target('/\xe9'), refused()],
  ['dots behind an escaped slash', target('/x%2f..%2fsmuggled'), refused()],
  ['dots behind an escaped backslash', target('/x%5c..%5csmuggled'), refused()],
  ['escaped dots behind an escaped slash', target('/x%2f%2e%2e%2fsmuggled'), refused()],
  ['a line break, escaped', target('/x%0d%0aHost:%20evil'), served('GET /x%0D%0AHost:%20evil 0')],
  ['a dot segment', target('/y/../x'), served('GET /x 0')],
  ['an escaped dot segment', target('/y/%2e%2E/x'), served('GET /x 0')],
  ['dots above the root', target('/../../../x'), served('GET /x 0')],
  ['doubled slashes', target('//y//../x'), served('GET /x 0')],
  ['an escaped letter', target('/%78'), served('GET /x 0')],
  ['an escape of an escape', target('/%2578'), served('GET /%2578 0')],
  ['dots in the query', target('/x?/../y'), served('GET /x?/../y 0')],
  ['a target of 8 KiB', target(`/${'x'.repeat(8191)}`), served(`GET /${'x'.repeat(8191)} 0`)],
  ['a target beyond 16 KiB', target(`/${'x'.repeat(17_000)}`), refused(431)],
]

const hosts: readonly Row[] = [
  ['no Host', head('GET /x HTTP/1.1'), refused()],
  ['two Hosts', get('Host: b'), refused()],
  ['two equal Hosts', get('Host: a'), refused()],
  ['an empty Host', head('GET /x HTTP/1.1', 'Host: '), served('GET /x 0')],
  ['a list of Hosts', head('GET /x HTTP/1.1', 'Host: a,b'), refused()],
  ['a Host with a path', head('GET /x HTTP/1.1', 'Host: a/smuggled'), refused()],
  ['a Host with user info', head('GET /x HTTP/1.1', 'Host: u@a'), refused()],
  ['a Host with a space', head('GET /x HTTP/1.1', 'Host: a b'), refused()],
  ['a Host with a fragment', head('GET /x HTTP/1.1', 'Host: a#b'), refused()],
  ['a Host with a port that is none', head('GET /x HTTP/1.1', 'Host: a:b'), refused()],
  ['a Host with two ports', head('GET /x HTTP/1.1', 'Host: a:1:2'), refused()],
  ['a Host with a Latin-1 letter', head('GET /x HTTP/1.1', 'Host: \xe9'), refused()],
  ['a space before the colon of the Host', head('GET /x HTTP/1.1', 'Host : a'), refused()],
  ['a folded Host', head('GET /x HTTP/1.1', 'Host:\r\n a'), refused()],
]

const connections: readonly Row[] = [
  ...['Host', 'Content-Length', 'Transfer-Encoding', 'Authorization', 'Cookie', 'X-Api-Key'].map((name): Row =>
    [`Connection names ${name}`, get(`Connection: close, ${name}`), refused()]),
  ['Connection names a length that is there', post('', 'Connection: Content-Length', 'Content-Length: 0'), refused()],
  ['Connection names in two headers', get('Connection: keep-alive', 'Connection: host'), refused()],
  ['Upgrade: h2c', get('Connection: Upgrade, HTTP2-Settings', 'Upgrade: h2c', 'HTTP2-Settings: AAMAAABkAAQAAP__'), refused()],
  ['Upgrade: h2c without its Connection', get('Upgrade: h2c'), refused()],
  ['Upgrade: h2c behind another', get('Connection: Upgrade', 'Upgrade: foo, H2C'), refused()],
  ['Connection: close, and a request behind it', get('Connection: close') + hidden, served('GET /x 0')],
  ['HTTP/1.0, and a request behind it', head('GET /x HTTP/1.0', 'Host: a') + hidden, served('GET /x 0')],
  ['a good request, and a bad one behind it', get() + get('Content-Length: x') + hidden, served('GET /x 0')],
]

const values: readonly Row[] = [
  ['an obsolete fold', get('X: y', ' z'), refused()],
  ['a fold with a tab', get('X: y', '\tz'), refused()],
  ['a NUL in a value', get('X: y\0z'), refused()],
  ['a bell in a value', get('X: y\x07z'), refused()],
  ['an escape character in a value', get('X: y\x1bz'), refused()],
  ['a bare CR in a value', get('X: y\rz'), refused()],
  ['a NUL in a name', get('X\0: y'), refused()],
  ['a space in a name', get('X Y: z'), refused()],
  ['a name of parentheses', get('X(Y): z'), refused()],
  ['a Latin-1 letter in a name', get('X\xe9: z'), refused()],
  ['an empty name', get(': y'), refused()],
  ['a line without a colon', get('X'), refused()],
  ['Expect of an unknown kind', post('ab', 'Content-Length: 2', 'Expect: 200-ok'), served('POST /x 2')],
  ['a Latin-1 letter in a value', get('X: \xe9'), served('GET /x 0')],
  ['UTF-8 in a value', get('X: \xc3\xa9'), served('GET /x 0')],
  ['__proto__', get('__proto__: y', 'constructor: z'), served('GET /x 0')],
  ['101 headers', get(...Array.from({ length: 100 }, (_, n) => `X-${n}: y`)), refused(431)],
  ['1,001 headers, the length behind them', post('ab', ...Array.from({ length: 1000 }, () => 'X: y'), 'Content-Length: 2'), refused(431)],
  ['a value beyond 16 KiB', get(`X: ${'y'.repeat(17_000)}`), refused(431)],
  ['a name beyond 16 KiB', get(`${'X'.repeat(17_000)}: y`), refused(431)],
]

export const corpus: readonly Case[] = [
  ...bodies, ...[...lines, ...targets, ...hosts, ...connections, ...values].map(([hazard, bytes, outcome]) => ({ hazard, bytes, outcome })),
]
