// Sends a file to a conversation with tus-js-client, and prints the file as its message has it.
//
//   node uploader.mjs URL CONVERSATION PATH MEDIA-TYPE
//
// URL is that of the API. The token is read from standard input. What breaks on the way, as when the server
// restarts, goes on where it was: the library asks how far the upload has come, and an address that has
// run out is replaced by a fresh one.
import { createHash, randomUUID } from 'node:crypto'
import { createReadStream, readFileSync } from 'node:fs'
import { basename } from 'node:path'
import { setTimeout } from 'node:timers/promises'
import { text } from 'node:stream/consumers'
import * as tus from 'tus-js-client'

const [api, conversationId, path, mediaType] = process.argv.slice(2)
const token = (await text(process.stdin)).trim()
const headers = { Authorization: `Bearer ${token}` }

async function ask(query, variables) {
  for (;;) {
    try {
      const response = await fetch(api, {
        method: 'POST',
        headers: { ...headers, 'Content-Type': 'application/json' },
        body: JSON.stringify({ query, variables }),
      })
      const { data, errors } = await response.json()
      if (errors) throw new Error(JSON.stringify(errors))
      return data
    } catch (error) {
      if (!(error instanceof TypeError)) throw error
      await setTimeout(200) // nobody answers there at the moment
    }
  }
}

const content = readFileSync(path)
const { createUpload } = await ask(
  `mutation ($input: CreateUploadInput!) { createUpload(input: $input) { file { id upload { url } } userErrors { code message } } }`,
  {
    input: {
      clientKey: randomUUID(),
      name: basename(path),
      size: content.length,
      mediaType,
      sha256: createHash('sha256').update(content).digest('hex'),
    },
  },
)
if (createUpload.userErrors.length) throw new Error(createUpload.userErrors[0].message)
const { id, upload } = createUpload.file
console.log('announced')

// bring returns when the server has all bytes and has looked at them.
const bring = (url) =>
  new Promise((resolve, reject) => {
    new tus.Upload(createReadStream(path), {
      uploadUrl: new URL(url, api).href,
      uploadSize: content.length,
      chunkSize: 4 << 20,
      headers,
      retryDelays: Array(60).fill(200),
      // By itself the library takes 408 (too slow) for an end.
      onShouldRetry: (error) => ![401, 403, 404, 410, 422].includes(error.originalResponse?.getStatus()),
      onProgress: (sent) => console.log(`sent ${sent}`),
      onSuccess: resolve,
      onError: reject,
    }).start()
  })

for (let url = upload.url; ; ) {
  try {
    await bring(url)
    break
  } catch (error) {
    if (error.originalResponse?.getStatus() !== 410) {
      console.log(`refused ${error.originalResponse?.getBody() ?? error.message}`)
      process.exit(1)
    }
    url = (await ask(`query ($id: ID!) { node(id: $id) { ... on File { upload { url } } } }`, { id })).node.upload.url
  }
}

const { sendMessage } = await ask(
  `mutation ($input: SendMessageInput!) { sendMessage(input: $input) { message { files { name size sha256 } } userErrors { message } } }`,
  { input: { clientKey: randomUUID(), conversationId, fileIds: [id] } },
)
console.log(JSON.stringify(sendMessage.message.files[0]))
