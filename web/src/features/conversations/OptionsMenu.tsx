import { ActionIcon, Menu } from "@mantine/core"
import { useRef, useState } from "react"
import { type FragmentType, graphql, readFragment } from "../../graphql/generated"
import { Dialog } from "../../ui/Dialog"
import { useReturnFocus } from "../../ui/focus"
import { MoreIcon } from "../../ui/icons"
import { texts } from "../../ui/texts"
import { inFull, sameDay, timeOfDay } from "../../ui/time"
import { useToast } from "../../ui/Toasts"
import { DeleteDialog } from "./DeleteDialog"
import { LeaveDialog } from "./LeaveDialog"
import { RenameDialog } from "./RenameDialog"
import { TransferDialog } from "./TransferDialog"
import { useArchiveConversation } from "./useArchiveConversation"
import { useMuteConversation } from "./useMuteConversation"
import { useUnarchiveConversation } from "./useUnarchiveConversation"
import { useUnmuteConversation } from "./useUnmuteConversation"

const OptionsMenuConversation = graphql(`
  fragment OptionsMenuConversation on Conversation {
    id
    viewerCanMute
    viewerCanArchive
    viewerCanRename
    viewerCanTransferOwnership
    viewerCanLeave
    viewerCanDelete
    viewerSettings {
      isMuted
      mutedUntil
      archivedAt
    }
    ... on GroupConversation {
      name
    }
  }
`)

/** What asks before it does something, by the title of its dialog. */
const questions = {
  rename: "Rename group",
  transfer: "Hand over group",
  leave: "Leave group?",
  delete: "Delete group?",
} as const

export interface OptionsMenuProps {
  conversation: FragmentType<typeof OptionsMenuConversation>
  onArchived?: () => void
}

/** What the viewer can do with a conversation. What the server does not let them do is not there (S39, S56). */
export function OptionsMenu({ conversation: masked, onArchived }: OptionsMenuProps) {
  const conversation = readFragment(OptionsMenuConversation, masked)
  const { id, viewerSettings } = conversation
  const [isOpen, setIsOpen] = useState(false)
  const [question, setQuestion] = useState<keyof typeof questions>()
  const [isAsking, setIsAsking] = useState(false)
  const kebab = useRef<HTMLButtonElement>(null)
  const toast = useToast()
  const [mute, isMuting] = useMuteConversation()
  const [unmute, isUnmuting] = useUnmuteConversation()
  const [archive, isArchiving] = useArchiveConversation()
  const [unarchive, isUnarchiving] = useUnarchiveConversation()
  useReturnFocus(isOpen, kebab)

  /** Does something at once; only what went wrong is said. */
  const now = async (act: Promise<{ error?: string }>) => {
    const { error } = await act
    if (error) toast({ text: error, isError: true })
    return !error
  }
  const muteUntil = (until?: Date) => now(mute({ conversationId: id, ...(until && { until: until.toISOString() }) }))
  const archiveNow = async () => {
    if (!(await now(archive({ conversationId: id })))) return
    toast({ text: "Chat archived.", action: { label: "Undo", run: () => void now(unarchive({ conversationId: id })) } })
    onArchived?.()
  }
  const ask = (what: keyof typeof questions) => {
    setQuestion(what)
    setIsAsking(true)
  }
  const close = () => setIsAsking(false)
  const name = conversation.__typename === "GroupConversation" ? conversation.name : ""
  const isBusy = isMuting || isUnmuting || isArchiving || isUnarchiving
  return (
    <>
      <Menu
        opened={isOpen}
        onChange={setIsOpen}
        position="bottom-end"
        returnFocus={false}
        shadow="md"
        withInitialFocusPlaceholder={false}
      >
        <Menu.Target>
          <ActionIcon
            ref={kebab}
            variant="subtle"
            color="gray"
            aria-label="Chat options"
            title="Chat options"
            aria-busy={isBusy}
          >
            <MoreIcon />
          </ActionIcon>
        </Menu.Target>
        <Menu.Dropdown className="options" onKeyDown={(event) => event.key === "Escape" && event.stopPropagation()}>
          {conversation.viewerCanMute && (
            // One item for both: who is on it stays on it when the answer comes.
            <Menu.Item
              onClick={() => void (viewerSettings.isMuted ? now(unmute({ conversationId: id })) : muteUntil())}
              aria-label={viewerSettings.isMuted ? texts.unmute : texts.mute}
              rightSection={
                viewerSettings.isMuted &&
                viewerSettings.mutedUntil && <span className="until">until {shortTime(viewerSettings.mutedUntil)}</span>
              }
            >
              {viewerSettings.isMuted ? texts.unmute : texts.mute}
            </Menu.Item>
          )}
          {conversation.viewerCanMute && !viewerSettings.isMuted && (
            <>
              <Menu.Item onClick={() => void muteUntil(new Date(Date.now() + hour))}>Mute for 1 hour</Menu.Item>
              <Menu.Item onClick={() => void muteUntil(nextMorning())}>Mute until tomorrow</Menu.Item>
            </>
          )}
          {conversation.viewerCanArchive && (
            <>
              <Menu.Divider />
              {viewerSettings.archivedAt ? (
                <Menu.Item onClick={() => void now(unarchive({ conversationId: id }))}>Unarchive chat</Menu.Item>
              ) : (
                <Menu.Item onClick={() => void archiveNow()}>{texts.archive}</Menu.Item>
              )}
            </>
          )}
          {(conversation.viewerCanRename || conversation.viewerCanTransferOwnership) && <Menu.Divider />}
          {conversation.viewerCanRename && <Menu.Item onClick={() => ask("rename")}>Rename group</Menu.Item>}
          {conversation.viewerCanTransferOwnership && (
            <Menu.Item onClick={() => ask("transfer")}>Hand over group</Menu.Item>
          )}
          {(conversation.viewerCanLeave || conversation.viewerCanDelete) && <Menu.Divider />}
          {conversation.viewerCanLeave && <Menu.Item onClick={() => ask("leave")}>{texts.leaveGroup}</Menu.Item>}
          {conversation.viewerCanDelete && (
            <Menu.Item className="dangerous" onClick={() => ask("delete")}>
              {texts.deleteGroup}
            </Menu.Item>
          )}
        </Menu.Dropdown>
      </Menu>
      <Dialog opened={isAsking} onClose={close} title={question ? questions[question] : ""} returnTo={kebab} size="sm">
        {question === "rename" && <RenameDialog id={id} name={name} onClose={close} />}
        {question === "transfer" && <TransferDialog id={id} name={name} onClose={close} />}
        {question === "leave" && (
          <LeaveDialog id={id} name={name} isOwner={conversation.viewerCanDelete} onClose={close} />
        )}
        {question === "delete" && <DeleteDialog id={id} name={name} onClose={close} />}
      </Dialog>
    </>
  )
}

/** A time, with its date if that is not today. */
const shortTime = (at: string) => (sameDay(at, new Date().toISOString()) ? timeOfDay(at) : inFull(at))

const hour = 3_600_000

/** The next time it is seven in the morning here. */
export function nextMorning(now = new Date()) {
  const morning = new Date(now)
  morning.setHours(7, 0, 0, 0)
  if (morning <= now) morning.setDate(morning.getDate() + 1)
  return morning
}
