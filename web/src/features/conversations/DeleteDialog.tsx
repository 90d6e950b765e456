import { Button, Group, Input } from "@mantine/core"
import { useState } from "react"
import { ActButton } from "../../ui/ActButton"
import { texts } from "../../ui/texts"
import { useDeleteGroup } from "./useDeleteGroup"

export interface DeleteDialogProps {
  id: string
  name: string
  onClose: () => void
}

/** Asks before a group disappears for everybody (S58). */
export function DeleteDialog({ id, name, onClose }: DeleteDialogProps) {
  const [error, setError] = useState<string>()
  const [deleteGroup, isBusy] = useDeleteGroup()
  const remove = async () => {
    const { error } = await deleteGroup({ conversationId: id })
    if (error) setError(error)
    else onClose()
  }
  return (
    <div className="question">
      <p>
        <bdi className="name">{name}</bdi> and all its messages disappear from the chat list of everybody who is or was
        in it. This can’t be undone.
      </p>
      {error && <Input.Error role="alert">{error}</Input.Error>}
      <Group justify="flex-end" gap="xs">
        <Button variant="default" onClick={onClose} data-autofocus>
          Cancel
        </Button>
        <ActButton color="red" isBusy={isBusy} onClick={() => void remove()}>
          {texts.delete}
        </ActButton>
      </Group>
    </div>
  )
}
