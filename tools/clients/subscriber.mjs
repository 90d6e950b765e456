// Follows the events of a person with graphql-ws or graphql-sse, and prints each message that is heard.
//
//   node subscriber.mjs ws|sse URL
//
// Tokens are read from standard input, a line each: the next one is used for every new connection, and
// the last one for ever. With --once what the library does by itself is tried, without a loop of ours,
// and the number of connections is printed in the end.
import { createInterface } from 'node:readline'
import { createClient as createSSE } from 'graphql-sse'
import { createClient as createWS } from 'graphql-ws'
import WebSocket from 'ws'

const [transport, url, once] = process.argv.slice(2)
const tokens = []
for await (const line of createInterface({ input: process.stdin })) tokens.push(line)

let connections = 0
const authorization = () => {
  connections++
  return `Bearer ${tokens.length > 1 ? tokens.shift() : tokens[0]}`
}
const client =
  transport === 'ws'
    ? createWS({
        url: url.replace('http', 'ws'),
        webSocketImpl: WebSocket,
        connectionParams: () => ({ Authorization: authorization() }),
        ...(once ? {} : { retryAttempts: 0 }),
      })
    : createSSE({
        url,
        headers: () => ({ Authorization: authorization() }),
        ...(once ? {} : { retryAttempts: 0 }),
      })

const query = `subscription ($after: Cursor) { events(after: $after) {
  __typename cursor ... on MessageAdded { message { text } } } }`
let after = null

// The libraries subscribe again with the variables of the first time, so whoever must not miss or repeat
// anything runs a loop like this one.
async function follow() {
  for await (const { data, errors } of client.iterate({ query, variables: { after } })) {
    if (errors) throw new Error(JSON.stringify(errors))
    const { __typename, cursor, message } = data.events
    console.log(message ? message.text : __typename)
    after = cursor
  }
}

for (;;) {
  try {
    await follow()
  } catch (error) {
    console.log(`# ${error.code ?? error.message ?? error}`)
  }
  if (once) break
  await new Promise((resolve) => setTimeout(resolve, 50 + Math.random() * 100))
}
console.log(`${connections} connections`)
process.exit()
