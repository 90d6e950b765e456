import { useQuery } from "@apollo/client/react"
import { ActionIcon, Button, Loader, Textarea } from "@mantine/core"
import { type ReactNode, useEffect, useRef, useState, useSyncExternalStore } from "react"
import { ConversationHeader } from "../features/conversations/ConversationHeader"
import { nameOf } from "../features/conversations/ConversationRow"
import { OptionsMenu } from "../features/conversations/OptionsMenu"
import { AttachButton } from "../features/files/AttachButton"
import { DropZone, filesOf } from "../features/files/DropZone"
import { FileCard } from "../features/files/FileCard"
import { UploadList } from "../features/files/UploadList"
import { useUploads } from "../features/files/uploads"
import { Composer } from "../features/messages/Composer"
import { Transcript } from "../features/messages/Transcript"
import { Participants } from "../features/participants/Participants"
import { graphql } from "../graphql/generated"
import { focusIsLost } from "../ui/focus"
import { CrossIcon, PeopleIcon } from "../ui/icons"
import { texts } from "../ui/texts"
import { useChat } from "./state"

const Conversation = graphql(`
  query Conversation($id: ID!) {
    node(id: $id) {
      __typename
      ... on Conversation {
        id
        viewerCanSend
        unreadCount
        lastMessage {
          id
          seq
        }
        ...LiveConversation
        ...ConversationHeader
        ...ComposerConversation
        ...OptionsMenuConversation
      }
      ... on DirectConversation {
        peer {
          id
          name
        }
      }
      ... on GroupConversation {
        name
        ...ParticipantsGroup
      }
    }
  }
`)

/** How often the availability of people is looked up while their chat is open, in milliseconds: no event tells of it. */
const glance = 60_000

export interface ConversationPanelProps {
  id: string
  /** Whether the person looks at it, and has not only had it popped up. */
  isAttended: boolean
  /** How often they opened it: each time what they type goes here. */
  openings: number
  before?: ReactNode
  onAttend: () => void
  onClose: () => void
}

/** An open chat: its name and options, who takes part, what was said, and where one writes. */
export function ConversationPanel({ id, isAttended, openings, before, onAttend, onClose }: ConversationPanelProps) {
  const { outbox, drafts, historyChoice } = useChat()
  const uploads = useUploads(id)
  const [showsParticipants, setShowsParticipants] = useState(false)
  const { data, previousData, error, refetch } = useQuery(Conversation, {
    variables: { id },
    pollInterval: glance,
    skipPollAttempt: () => document.visibilityState !== "visible",
  })
  const close = (
    <ActionIcon variant="subtle" color="gray" aria-label="Close chat" onClick={onClose}>
      <CrossIcon />
    </ActionIcon>
  )
  const node = data?.node
  const gone = data && !node ? previousData?.node : undefined
  if (gone && "viewerCanSend" in gone) {
    return <Deleted id={id} name={nameOf(gone)} before={before} close={close} />
  }
  if (!node || !("viewerCanSend" in node)) {
    return (
      <section className="panel" aria-label="Chat" aria-busy={!error && !data}>
        <header className="chat-header">
          {before}
          <div className="chat-title" />
          {close}
        </header>
        <div className="panel-message">
          {error ? (
            <>
              <p>The chat can't be loaded.</p>
              <Button size="xs" onClick={() => void refetch()}>
                Try again
              </Button>
            </>
          ) : data ? (
            <p>There is no such chat.</p>
          ) : (
            <Loader size="sm" />
          )}
        </div>
      </section>
    )
  }
  const isGroup = node.__typename === "GroupConversation"
  const attach = (files: Iterable<File>) => uploads.add(files)
  return (
    <section className="panel" aria-label={`Chat with ${nameOf(node)}`} onFocus={onAttend} onPointerDown={onAttend}>
      <ConversationHeader conversation={node} before={before}>
        {isGroup && (
          <ActionIcon
            variant="subtle"
            color="gray"
            aria-label="Participants"
            aria-expanded={showsParticipants}
            onClick={() => setShowsParticipants(!showsParticipants)}
          >
            <PeopleIcon />
          </ActionIcon>
        )}
        <OptionsMenu conversation={node} onArchived={onClose} />
        {close}
      </ConversationHeader>
      {isGroup && showsParticipants && <Participants group={node} history={historyChoice} />}
      <DropZone canDrop={node.viewerCanSend} onFiles={attach}>
        <Transcript
          conversation={node}
          now={{ lastSeq: node.lastMessage?.seq, unreadCount: node.unreadCount }}
          outbox={outbox}
          isAttended={isAttended}
          files={(message) => message.files.map((file) => <FileCard key={file.id} file={file} />)}
        />
        <Composer
          conversation={node}
          drafts={drafts}
          openings={openings}
          tools={<AttachButton onFiles={attach} />}
          files={<UploadList uploads={uploads} />}
          attached={uploads.attached}
          onSend={(text) => outbox.send(id, text, uploads.take())}
          onPaste={(event) => {
            const files = filesOf(event.clipboardData)
            if (files.length === 0) return
            event.preventDefault()
            attach(files)
          }}
        />
      </DropZone>
    </section>
  )
}

/** A group that disappeared while it was open: what was being written is not lost (E21). */
function Deleted({ id, name, before, close }: { id: string; name: string; before: ReactNode; close: ReactNode }) {
  const { outbox, drafts } = useChat()
  const unsent = useSyncExternalStore(outbox.subscribe, () => outbox.of(id)).map(({ body }) => body)
  const draft = [...unsent, drafts.get(id)].filter(Boolean).join("\n\n")
  const [copied, setCopied] = useState(false)
  const panel = useRef<HTMLElement>(null)
  useEffect(() => {
    // Who wrote in it goes on here, and nobody is taken from elsewhere.
    if (focusIsLost()) panel.current?.querySelector<HTMLElement>("textarea, button")?.focus()
  }, [])
  return (
    <section ref={panel} className="panel" aria-label={`Chat with ${name}`}>
      <header className="chat-header">
        {before}
        <div className="chat-title">
          <h2>
            <bdi>{name}</bdi>
          </h2>
        </div>
        {close}
      </header>
      <div className="panel-message">
        <p role="alert">{texts.groupDeleted}</p>
        {draft && (
          <>
            <Textarea
              label="Your draft"
              value={draft}
              readOnly
              rows={6}
              attributes={{ input: { dir: "auto" } }}
              onFocus={(event) => event.currentTarget.select()}
            />
            <Button
              size="xs"
              variant="light"
              onClick={() => void navigator.clipboard.writeText(draft).then(() => setCopied(true))}
            >
              {copied ? "Copied" : "Copy draft"}
            </Button>
          </>
        )}
      </div>
    </section>
  )
}
