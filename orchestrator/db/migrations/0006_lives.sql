-- Which process has an orchestrator's name now, and where its state directory lies.
alter table berth.orchestrators
    add column life uuid, -- made anew by each start of berthd: what another one writes under the name is refused
    add column home text; -- boot id and inode of the directory's lock: a copy of the directory has another one

-- An attempt is begun only after this is set, and given to others as one that has not begun only while it is not.
alter table berth.attempts add column licensed_at timestamptz;
update berth.attempts set licensed_at = coalesce(started_at, now()) where finished_at is null;
