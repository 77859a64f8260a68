import { connect } from 'node:net'

/** Whether somebody listens on a port of this machine, as of a moment ago. */
export type Listening = Readonly<{ open(): boolean; close(): void }>

/** Milliseconds between two looks, while it is closed and while it is open, and for one of them. */
const soon = 200
const later = 2_000
const lookMax = 1_000

/** Follows a model server that only its own pod can reach, and that no probe of the kubelet can therefore ask. */
export function followPort(port: number): Listening {
  let open = false
  let timer: NodeJS.Timeout | undefined
  let closed = false

  function look(): void {
    const socket = connect({ host: '127.0.0.1', port, timeout: lookMax })
    const done = (is: boolean): void => {
      socket.destroy()
      if (closed) return
      open = is
      clearTimeout(timer)
      timer = setTimeout(look, open ? later : soon).unref()
    }
    socket.once('connect', () => done(true)).once('error', () => done(false)).once('timeout', () => done(false))
  }
  look()

  return {
    open: () => open,
    close() {
      closed = true
      clearTimeout(timer)
    },
  }
}
