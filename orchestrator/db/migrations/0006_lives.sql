-- Which process has an orchestrator's name now, and where its state directory lies.
alter table berth.orchestrators
    add column life uuid, -- made anew by each start of berthd: what another one writes under the name is refused
    add column home text; -- boot id and inode of the directory's lock: a copy of the directory has another one
