import { ActionIcon, Loader } from "@mantine/core"
import { useRef, useState } from "react"
import { flushSync } from "react-dom"
import { type FragmentType, graphql, readFragment } from "../../graphql/generated"
import { CheckIcon, CrossIcon, MinusIcon, StarIcon } from "../../ui/icons"
import { Portrait } from "../../ui/Person"
import { useRemoveParticipant } from "./useRemoveParticipant"

const ParticipantRowFields = graphql(`
  fragment ParticipantRow on Participant {
    id
    role
    sharesWaitingRoom
    viewerCanRemove
    user {
      id
      name
      roleLabel
      isViewer
      isAvailable
    }
  }
`)

export interface ParticipantRowProps {
  participant: FragmentType<typeof ParticipantRowFields>
  conversationId: string
  /** Whether the viewer is in the group: who left sees it as it was, and can do nothing. */
  isLive: boolean
  /** Whether there is anybody else, to share a waiting room with. */
  isAlone: boolean
  onRemoved: (name: string) => void
}

/** A participant, and how to remove them in two steps (S35, S36). */
export function ParticipantRow({
  participant: masked,
  conversationId,
  isLive,
  isAlone,
  onRemoved,
}: ParticipantRowProps) {
  const { id, user, role, sharesWaitingRoom, viewerCanRemove } = readFragment(ParticipantRowFields, masked)
  const [isAsking, setIsAsking] = useState(false)
  const [error, setError] = useState<string>()
  const minus = useRef<HTMLButtonElement>(null)
  const [removeParticipant, isBusy] = useRemoveParticipant(id)
  const cancel = () => {
    flushSync(() => {
      setIsAsking(false)
      setError(undefined)
    })
    minus.current?.focus()
  }
  const remove = async () => {
    if (isBusy) return
    setError(undefined)
    const { error } = await removeParticipant({ conversationId, userId: user.id })
    if (error) setError(error)
    else onRemoved(user.name)
  }
  return (
    <li className="participant">
      <Portrait name={user.name} isAvailable={isLive && user.isAvailable} />
      <span className="participant-text">
        <span>
          <bdi className="name">{user.name}</bdi> {user.isViewer && <span className="label">(you)</span>}{" "}
          {role === "OWNER" && (
            <span className="owner-star" role="img" aria-label="Group owner" title="Group owner">
              <StarIcon size={14} />
            </span>
          )}{" "}
          <span className="label">{user.roleLabel}</span>
        </span>
        {isLive && !isAlone && !sharesWaitingRoom && <span className="marker">Shares no waiting room</span>}
        {error && (
          <span className="refusal" role="alert">
            {error}
          </span>
        )}
      </span>
      {isLive && viewerCanRemove && !isAsking && (
        <ActionIcon
          ref={minus}
          variant="subtle"
          color="red"
          aria-label={`Remove ${user.name}`}
          title="Remove"
          onClick={() => setIsAsking(true)}
        >
          <MinusIcon />
        </ActionIcon>
      )}
      {isLive && viewerCanRemove && isAsking && (
        <span
          className="participant-confirm"
          onKeyDown={(event) => {
            if (event.key !== "Escape") return
            event.stopPropagation()
            cancel()
          }}
        >
          <ActionIcon
            variant="filled"
            color="red"
            aria-label={`Confirm removing ${user.name}`}
            title="Remove from the group"
            aria-busy={isBusy}
            autoFocus
            onClick={() => void remove()}
          >
            {isBusy ? <Loader size={16} color="currentColor" /> : <CheckIcon />}
          </ActionIcon>
          <ActionIcon variant="default" aria-label={`Cancel removing ${user.name}`} title="Cancel" onClick={cancel}>
            <CrossIcon />
          </ActionIcon>
        </span>
      )}
    </li>
  )
}
