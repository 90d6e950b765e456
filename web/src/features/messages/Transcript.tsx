import { ActionIcon, Alert, Button, Loader } from "@mantine/core"
import {
  type ReactNode,
  useCallback,
  useEffect,
  useLayoutEffect,
  useMemo,
  useRef,
  useState,
  useSyncExternalStore,
} from "react"
import { VList, type VListHandle } from "virtua"
import type { MessageLineFragment } from "../../graphql/generated/graphql"
import { DownIcon } from "../../ui/icons"
import { day, sameDay } from "../../ui/time"
import { MessageLine, OutgoingLine } from "./MessageLine"
import type { Outbox, Outgoing } from "./outbox"
import { useMarkRead } from "./useMarkRead"
import { type ConversationRef, type TranscriptLine, type TranscriptNow, useTranscript } from "./useTranscript"

export interface TranscriptProps {
  conversation: ConversationRef
  now: TranscriptNow
  outbox: Outbox
  /** Whether the person looks at it: then what they see counts as read. */
  isAttended: boolean
  files: (message: MessageLineFragment) => ReactNode
}

/** How near to an end, in pixels, the next page is fetched, so that nobody waits for it. */
const near = 600

/** How far from the end, in pixels, somebody may be and still be taken along by new messages. */
const atEnd = 60

/** How long a line must be on the screen to count as read, in milliseconds. */
const glance = 300

/** What was said, from the first unread message on, with more in both directions as one scrolls. */
export function Transcript({ conversation, now, ...rest }: TranscriptProps) {
  const { lines, error, retry, ...transcript } = useTranscript(conversation, now)
  if (lines) return <Lines {...rest} {...transcript} conversationId={conversation.id} lines={lines} />
  return (
    <div className="transcript" role="log" aria-label="Messages" aria-live="off" aria-busy={!error}>
      {error ? (
        <Alert color="red" m="md" title="The messages can't be loaded.">
          <Button size="xs" onClick={() => void retry()}>
            Try again
          </Button>
        </Alert>
      ) : (
        <Loader size="sm" className="transcript-loader" aria-label="Loading" />
      )}
    </div>
  )
}

interface LinesProps
  extends
    Pick<TranscriptProps, "outbox" | "isAttended" | "files">,
    Omit<ReturnType<typeof useTranscript>, "lines" | "error" | "retry"> {
  conversationId: string
  lines: TranscriptLine[]
}

function Lines(props: LinesProps) {
  const { conversationId, lines, firstUnread, hasPrevious, hasNext, loadPrevious, loadNext, jumpToEnd } = props
  const { outbox, isAttended, files } = props
  const queue = useSyncExternalStore(outbox.subscribe, () => outbox.of(conversationId))
  const items = useItems(lines, queue)
  const list = useRef<VListHandle>(null)
  const log = useRef<HTMLDivElement>(null)
  const follows = useRef(true)
  const offset = useRef(0)
  const [isAway, setIsAway] = useState(false)
  const markRead = useMarkRead()

  // Whether lines were added at the start, which keeps what is on the screen where it is.
  const first = items[0]?.key
  const count = items.length
  const [grown, setGrown] = useState({ first, count, atStart: false })
  if (grown.first !== first || grown.count !== count) {
    setGrown({ first, count, atStart: grown.first !== first && items.some((item) => item.key === grown.first) })
  }

  const look = useCallback(() => {
    const view = list.current
    if (!view) return
    const below = view.scrollSize - view.scrollOffset - view.viewportSize
    // New lines make room below, too: only who scrolls back wants to stay where they are.
    if (below < atEnd && !hasNext) follows.current = true
    else if (view.scrollOffset < offset.current - 1) follows.current = false
    offset.current = view.scrollOffset
    setIsAway(below > view.viewportSize || hasNext)
    if (view.scrollOffset < near) loadPrevious()
    if (below < near) loadNext()
  }, [hasNext, loadPrevious, loadNext])

  // Where reading goes on when it opens (S12), and at the end as long as the person is there.
  const opened = useRef(false)
  const last = items.at(-1)
  const lastKey = last?.key
  const isSending = last?.outgoing !== undefined
  const sent = queue.at(-1)?.clientKey
  // What was written here last. When it has arrived its line is another one, and others may stand before it than had been fetched.
  const written = useRef<string>(undefined)
  const lastClientKey = last?.line?.message.clientKey
  useLayoutEffect(() => {
    written.current = sent ?? written.current
    const view = list.current
    if (!view || count === 0) return
    if (!opened.current) {
      opened.current = true
      const unread = firstUnread === undefined ? -1 : items.findIndex((item) => item.line?.seq === firstUnread)
      if (unread >= 0) {
        view.scrollToIndex(unread, { align: "start", offset: -40 })
        follows.current = false
        return
      }
    }
    if (isSending || (lastClientKey && lastClientKey === written.current)) follows.current = true
    if (follows.current) view.scrollToIndex(count - 1, { align: "end" })
    // eslint-disable-next-line react-hooks/exhaustive-deps -- it scrolls when lines come, not when anything else changes
  }, [count, lastKey])

  // Whoever writes wants to see it, at the end.
  useEffect(() => {
    if (sent) follows.current = true
    if (sent && hasNext) void jumpToEnd()
    // eslint-disable-next-line react-hooks/exhaustive-deps -- once for each message
  }, [sent])

  useEffect(() => look(), [look, count])

  // What the person has had before their eyes is read, and nothing else.
  const reading = useRef<ReturnType<typeof setTimeout>>(undefined)
  const read = useCallback(() => {
    reading.current = undefined
    if (!isAttended || document.visibilityState !== "visible" || !document.hasFocus() || !log.current) return
    const line = lastOnScreen(log.current)
    if (line) markRead(line)
  }, [isAttended, markRead])
  useEffect(() => {
    const settle = () => {
      clearTimeout(reading.current)
      reading.current = setTimeout(read, glance)
    }
    settle()
    const scroller = log.current
    scroller?.addEventListener("scroll", settle, { capture: true, passive: true })
    window.addEventListener("focus", settle)
    document.addEventListener("visibilitychange", settle)
    return () => {
      clearTimeout(reading.current)
      reading.current = undefined
      scroller?.removeEventListener("scroll", settle, { capture: true })
      window.removeEventListener("focus", settle)
      document.removeEventListener("visibilitychange", settle)
    }
  }, [read])
  useEffect(() => {
    // Messages that come one after the other do not put it off for ever.
    reading.current ??= setTimeout(read, glance)
  }, [count, read])

  const newest = () => {
    follows.current = true
    if (hasNext) void jumpToEnd()
    else list.current?.scrollToIndex(count - 1, { align: "end" })
  }
  const lastOwn = lines.findLast((line) => line.message.kind === "TEXT" && line.message.sender?.isViewer)?.id
  return (
    <div ref={log} className="transcript" role="log" aria-label="Messages" aria-live="off">
      {count === 0 && <p className="empty">No messages yet. Say hello!</p>}
      <VList
        ref={list}
        shift={grown.atStart}
        data={items}
        className="lines"
        tabIndex={0}
        onScroll={look}
        onResize={() => {
          if (follows.current && opened.current) list.current?.scrollToIndex(count - 1, { align: "end" })
          look()
        }}
        bufferSize={400}
      >
        {(item, index) => (
          <div key={item.key} className="line" data-id={item.line?.id} data-seq={item.line?.seq}>
            {index === 0 && hasPrevious && <p className="separator">…</p>}
            {item.day && <p className="separator">{item.day}</p>}
            {item.line !== undefined && item.line.seq === firstUnread && (
              <p className="separator unread">New messages</p>
            )}
            {item.line && (
              <MessageLine
                message={item.line.masked}
                begins={item.begins}
                isLastOwn={item.line.id === lastOwn}
                files={files}
              />
            )}
            {item.outgoing && <Sending outbox={outbox} message={item.outgoing} />}
          </div>
        )}
      </VList>
      {isAway && (
        <ActionIcon className="newest" radius="xl" size="lg" aria-label="Newest messages" onClick={newest}>
          <DownIcon />
        </ActionIcon>
      )}
    </div>
  )
}

/** The last line that is on the screen: its end is, or it fills the screen. */
function lastOnScreen(log: HTMLElement) {
  const scroller = log.querySelector(".lines")?.getBoundingClientRect()
  if (!scroller) return undefined
  const lines = [...log.querySelectorAll<HTMLElement>(".line[data-id]")].filter((line) => {
    const { top, bottom } = line.getBoundingClientRect()
    const isThere = bottom > scroller.top && (bottom <= scroller.bottom + 4 || top <= scroller.top)
    return isThere && line.checkVisibility({ visibilityProperty: true })
  })
  const seqs = lines.map((line) => Number(line.dataset.seq))
  const last = lines[seqs.indexOf(Math.max(...seqs))]
  return last?.dataset.id ? { id: last.dataset.id, seq: Number(last.dataset.seq) } : undefined
}

function Sending({ outbox, message }: { outbox: Outbox; message: Outgoing }) {
  return (
    <OutgoingLine message={message} onRetry={() => outbox.retry(message)} onDiscard={() => outbox.discard(message)} />
  )
}

interface Item {
  key: string
  day: string | undefined
  begins: boolean
  line?: TranscriptLine
  outgoing?: Outgoing
}

/** How long a person's lines in a row belong together, in milliseconds. */
const together = 5 * 60_000

/** What the list shows: the lines, and behind them what is on its way. */
function useItems(lines: TranscriptLine[], queue: readonly Outgoing[]): Item[] {
  return useMemo(() => {
    const items: Item[] = []
    const taken = new Set<string>()
    let before: MessageLineFragment | undefined
    for (const line of lines) {
      const { message } = line
      const isNewDay = !before || !sameDay(before.sentAt, message.sentAt)
      items.push({
        key: line.id,
        day: isNewDay ? day(message.sentAt) : undefined,
        begins:
          isNewDay ||
          before?.kind !== "TEXT" ||
          before.sender?.id !== message.sender?.id ||
          Date.parse(message.sentAt) - Date.parse(before.sentAt) > together,
        line,
      })
      if (message.clientKey) taken.add(message.clientKey)
      before = message
    }
    for (const outgoing of queue) {
      if (!taken.has(outgoing.clientKey))
        items.push({ key: outgoing.clientKey, day: undefined, begins: true, outgoing })
    }
    return items
  }, [lines, queue])
}
