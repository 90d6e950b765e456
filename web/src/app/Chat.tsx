import { ApolloProvider, useQuery } from "@apollo/client/react"
import type { ApolloClient } from "@apollo/client"
import type { MantineColorScheme } from "@mantine/core"
import { useCallback, useEffect, useMemo, useReducer, useRef, useState } from "react"
import { UploadsContext, Uploads } from "../features/files/uploads"
import { Drafts } from "../features/messages/drafts"
import { Outbox } from "../features/messages/outbox"
import { ChatCache } from "../graphql/cache"
import { newClient } from "../graphql/client"
import { SessionContext } from "../graphql/context"
import { type Connectedness, type Event, Stream } from "../graphql/events"
import { Freshness } from "../graphql/freshness"
import { graphql } from "../graphql/generated"
import { isSignedOut, type Session } from "../graphql/session"
import { Announcer, useAnnounce } from "../ui/Announcer"
import { ring } from "../ui/chime"
import { Boundary } from "../ui/Boundary"
import { part } from "../ui/part"
import { Root } from "../ui/Root"
import { Toasts } from "../ui/Toasts"
import { ChatBubble, ChatsDropdown } from "./ChatBubble"
import type { Requests } from "./requests"
import { byRank, ChatContext, type Windows, windows } from "./state"

// Who only looks at the bubble does not wait for the rest.
const AllChats = part(async () => (await import("./AllChats")).AllChats)
const ConversationPanel = part(async () => (await import("./ConversationPanel")).ConversationPanel)
const NewChat = part(async () => (await import("../features/contacts/NewChat")).NewChat)

/** How long after the chat went live the rest is loaded, in milliseconds: a message that comes later must not need it first. */
const rest = 2_000

const Start = graphql(`
  query Start {
    viewer {
      name
      unreadConversationCount
      unreadMessageCount
      clinic {
        name
        supportContact
        historyChoice
      }
      conversations(first: 20, filter: {}) {
        eventCursor
        edges {
          node {
            id
            ...LiveConversation
          }
        }
        pageInfo {
          hasNextPage
          hasPreviousPage
          startCursor
          endCursor
        }
      }
    }
  }
`)

const Unread = graphql(`
  query Unread {
    viewer {
      unreadConversationCount
      unreadMessageCount
    }
  }
`)

/** What is unread, as a host page may show it. */
export interface UnreadCounts {
  conversations: number
  messages: number
}

export interface ChatProps {
  session: Session
  colorScheme: MantineColorScheme
  showsName: boolean
  /** Opens what the host page asks for. */
  requests: Requests
  onUnread: (unread: UnreadCounts) => void
}

/** The chat of a person who is signed in. */
export function Chat({ session, colorScheme, ...rest }: ChatProps) {
  const parts = useMemo<Parts>(() => {
    const freshness = new Freshness()
    const client = newClient(session, freshness)
    const uploads = new Uploads({ client, session })
    const outbox = new Outbox(client, (files) => uploads.discard(files.map((file) => file.id)))
    return { client, freshness, outbox, drafts: new Drafts(), uploads }
  }, [session])
  useEffect(
    () => () => {
      parts.outbox.close()
      parts.uploads.close()
      parts.client.stop()
    },
    [parts],
  )
  return (
    <Root colorScheme={colorScheme}>
      <SessionContext value={session}>
        <ApolloProvider client={parts.client}>
          <UploadsContext value={parts.uploads}>
            <Announcer>
              <Toasts>
                <Boundary>
                  <SignedIn {...rest} session={session} parts={parts} />
                </Boundary>
              </Toasts>
            </Announcer>
          </UploadsContext>
        </ApolloProvider>
      </SessionContext>
    </Root>
  )
}

interface Parts {
  client: ApolloClient
  freshness: Freshness
  outbox: Outbox
  drafts: Drafts
  uploads: Uploads
}

const nothingOpen: Windows = { boxes: [], allChats: { isOpen: false }, isNewChatOpen: false }

function SignedIn({
  session,
  parts,
  showsName,
  requests,
  onUnread,
}: Omit<ChatProps, "colorScheme"> & { parts: Parts }) {
  const { client, freshness, outbox, drafts, uploads } = parts
  const { data, error, refetch } = useQuery(Start, { fetchPolicy: "cache-first" })
  const [connectedness, setConnectedness] = useState<Connectedness>("connecting")
  const [open, act] = useReducer(windows, nothingOpen)
  const bubble = useRef<HTMLButtonElement>(null)
  const [isDropdownOpen, setIsDropdownOpen] = useState(false)
  const announce = useAnnounce()
  const viewer = data?.viewer

  // Handlers of the stream read what is open now, without being made anew for it.
  const now = useRef(open)
  useEffect(() => {
    now.current = open
  }, [open])

  const countUnread = useThrottled(
    () => void client.query({ query: Unread, fetchPolicy: "network-only" }).catch(() => undefined),
    300,
  )

  const drop = useCallback(
    (id: string) => {
      outbox.drop(id)
      uploads.drop(id)
      drafts.set(id, "")
    },
    [outbox, uploads, drafts],
  )

  const onEvents = useCallback(
    (events: Event[]) => {
      for (const event of events) {
        switch (event.__typename) {
          case "MessageAdded": {
            const { conversation, message, notify } = event
            if (!conversation || !message) break
            if (message.clientKey) outbox.settle(conversation.id, message.clientKey)
            if (message.kind !== "TEXT") refetchActive(client, ["Participants", "ContactSearch"])
            const isShown = shows(now.current, conversation.id)
            if (notify.popup && !isShown) act({ type: "popped up", id: conversation.id })
            if (notify.sound && !(isShown && document.hasFocus())) ring()
            if ((notify.popup || isShown) && !message.sender?.isViewer) {
              announce(
                message.kind === "TEXT"
                  ? `${message.sender?.name ?? ""}: ${message.text || "sent a file"}`
                  : message.text,
              )
            }
            break
          }
          case "ConversationAdded":
          case "ConversationLeft":
          case "ConversationChanged":
            if (event.conversation) freshness.changed(event.conversation.id)
            if (event.__typename === "ConversationLeft" && event.conversation) uploads.drop(event.conversation.id)
            if (event.__typename !== "ConversationChanged") refetchActive(client, ["Participants"])
            break
          case "GroupDeleted":
            // What an open box still holds is given back there first.
            if (!shows(now.current, event.conversationId)) drop(event.conversationId)
            break
          case "ContactAdded":
          case "ContactChanged":
          case "ContactRemoved":
          case "ContactListChanged":
            refetchActive(client, ["ChatTargets", "ContactSearch"])
            break
        }
      }
      if (events.some((event) => event.__typename !== "Heartbeat")) countUnread()
    },
    [client, freshness, outbox, uploads, drop, announce, countUnread],
  )

  // The stream begins where the first list was read, and goes on by itself.
  const [start, setStart] = useState<string>()
  if (!start && viewer) setStart(viewer.conversations.eventCursor)
  useEffect(() => {
    if (!start) return
    const stream = new Stream(start, {
      client,
      session,
      onEvents,
      onReset: () => {
        client.cache.evict({ id: "Viewer:{}", fieldName: "conversations" })
        client.refetchQueries({ include: "active" }).catch(() => undefined) // each says so where it is shown
      },
      onConnectedness: setConnectedness,
    })
    return () => stream.close()
  }, [client, session, start, onEvents])

  useEffect(() => {
    if (viewer) onUnread({ conversations: viewer.unreadConversationCount, messages: viewer.unreadMessageCount })
  }, [viewer, onUnread])

  useEffect(
    () => requests.answer((id) => act(id === "all chats" ? { type: "all chats opened" } : { type: "opened", id })),
    [requests],
  )

  useEffect(() => {
    if (connectedness !== "live") return
    const timer = setTimeout(() => {
      for (const part of [ChatsDropdown, AllChats, ConversationPanel, NewChat]) part.load()
    }, rest)
    return () => clearTimeout(timer)
  }, [connectedness])

  // A first try that found nobody is made again.
  const failed = error && !viewer
  const signedOut = failed && isSignedOut(error)
  useEffect(() => {
    if (!failed) return
    const timer = setInterval(() => void refetch().catch(() => undefined), signedOut ? 30_000 : 3_000)
    return () => clearInterval(timer)
  }, [failed, signedOut, refetch])

  const context = useMemo<ChatContext>(
    () => ({
      outbox,
      drafts,
      historyChoice: viewer?.clinic.historyChoice ?? false,
      supportContact: viewer?.clinic.supportContact ?? "",
    }),
    [outbox, drafts, viewer?.clinic.historyChoice, viewer?.clinic.supportContact],
  )

  const openChat = (id: string) => {
    setIsDropdownOpen(false)
    act({ type: "opened", id })
  }
  const isGone = (id: string) => client.cache instanceof ChatCache && client.cache.gone.has(id)
  const close = (id: string) => {
    act({ type: "closed", id })
    if (isGone(id)) drop(id)
    bubble.current?.focus()
  }
  const newChat = () => {
    setIsDropdownOpen(false)
    act({ type: "new chat opened" })
  }
  const ranked = byRank(open.boxes)
  const state = failed ? (signedOut ? "signed out" : "interrupted") : connectedness
  return (
    <ChatContext value={context}>
      <div className="chat" data-connection={state}>
        {showsName && viewer && <bdi className="viewer-name">{viewer.name}</bdi>}
        <ChatBubble
          bubble={bubble}
          unread={viewer?.unreadConversationCount ?? 0}
          isOpen={isDropdownOpen}
          onToggle={setIsDropdownOpen}
          onOpen={openChat}
          onNewChat={newChat}
          onAllChats={() => {
            setIsDropdownOpen(false)
            for (const { id } of open.boxes) if (isGone(id)) close(id)
            act({ type: "all chats opened" })
          }}
        />
        <ConnectionState state={state} />
        {!open.allChats.isOpen && (
          <div className="boxes">
            {open.boxes.map((box) => (
              <div key={box.id} className="box" data-rank={ranked.indexOf(box)}>
                <Boundary>
                  <ConversationPanel
                    id={box.id}
                    isAttended={box.isAttended}
                    openings={box.openings}
                    onAttend={() => act({ type: "attended", id: box.id })}
                    onClose={() => close(box.id)}
                  />
                </Boundary>
              </div>
            ))}
          </div>
        )}
        {open.allChats.isOpen && (
          <Boundary>
            <AllChats
              openId={open.allChats.id}
              returnTo={bubble}
              onOpen={openChat}
              onBack={() => act({ type: "back to all chats" })}
              onClose={() => act({ type: "all chats closed" })}
              onNewChat={newChat}
            />
          </Boundary>
        )}
        {open.isNewChatOpen && (
          <Boundary>
            <NewChat opened returnTo={bubble} onClose={() => act({ type: "new chat closed" })} onOpen={openChat} />
          </Boundary>
        )}
      </div>
    </ChatContext>
  )
}

/** Says when what is on the screen may not be all there is. */
function ConnectionState({ state }: { state: Connectedness }) {
  const sentence = {
    live: "",
    connecting: "Connecting…",
    interrupted: "No connection. Messages arrive when it is back.",
    "signed out": "You are signed out.",
  }[state]
  return (
    <span role="status" aria-label="Connection" className={`connection ${state === "live" ? "visually-hidden" : ""}`}>
      {sentence}
    </span>
  )
}

/** Whether a conversation is on the screen. */
function shows({ boxes, allChats }: Windows, id: string) {
  return allChats.isOpen ? allChats.id === id : boxes.some((box) => box.id === id)
}

/** Asks again what is on the screen and was not told by the event itself. */
function refetchActive(client: ApolloClient, names: string[]) {
  for (const query of client.getObservableQueries("active")) {
    if (query.queryName && names.includes(query.queryName)) query.refetch().catch(() => undefined) // the next event asks again
  }
}

/** Does something once for all calls within a time in milliseconds. */
function useThrottled(act: () => void, time: number) {
  const latest = useRef(act)
  useEffect(() => {
    latest.current = act
  })
  const timer = useRef<ReturnType<typeof setTimeout> | undefined>(undefined)
  useEffect(() => () => clearTimeout(timer.current), [])
  return useCallback(() => {
    timer.current ??= setTimeout(() => {
      timer.current = undefined
      latest.current()
    }, time)
  }, [time])
}
