-- Concurrency keys, retries, deadlines that were moved, and what orchestrators have to give.

alter table berth.jobs
    add column concurrency_key text, -- null: none; unique for a tenant
    add column concurrency_max integer check (concurrency_max > 0),
    add column on_conflict     text check (on_conflict in ('queue', 'reject', 'cancel_running')),
    add column retry_at        timestamptz, -- status retrying: not before
    add constraint jobs_key_whole check (concurrency_key is null or (concurrency_max is not null and on_conflict is not null));

drop index berth.jobs_ready;
create index jobs_ready on berth.jobs (priority desc, created_at) where status in ('queued', 'retrying');
drop index berth.jobs_queue_deadline;
create index jobs_queue_deadline on berth.jobs (queue_deadline_at)
    where status in ('queued', 'retrying') and queue_deadline_at is not null;
create index jobs_retrying on berth.jobs (retry_at) where status = 'retrying';
create index jobs_key on berth.jobs (tenant, concurrency_key)
    where concurrency_key is not null
      and status in ('scheduled', 'queued', 'preparing', 'running', 'retrying', 'canceling', 'lost');
create index jobs_key_held on berth.jobs (tenant, concurrency_key) -- waiting ones may be many, these never are
    where concurrency_key is not null and status in ('preparing', 'running', 'canceling', 'lost');

alter table berth.attempts
    add column grace_ms     bigint not null default 0, -- the spec's stop.grace
    add column run_extra_ms bigint not null default 0, -- by so much the run deadline was moved, in all
    add column freed        boolean not null default false, -- never started on an orchestrator that was heard of no more: no retry
    add column services     text[];                    -- names of its services: proto/stream.h

alter table berth.orchestrators -- null: not told yet
    add column memory_bytes bigint,
    add column memory_used  bigint,
    add column cpus_milli   bigint,
    add column cpus_used    bigint,
    add column lost_after   interval;

-- A job begins as scheduled or queued: what else there is needs an attempt.
create or replace function berth.check_step() returns trigger language plpgsql as $$
begin
    if tg_op = 'INSERT' then
        if new.status not in ('scheduled', 'queued') then
            raise exception 'job % cannot begin as %', new.id, new.status using errcode = 'BE001';
        end if;
    elsif new.status = old.status then
        return null;
    elsif not exists (
        select from berth.transitions where from_status = old.status and to_status = new.status) then
        raise exception 'job % cannot go from % to %', new.id, old.status, new.status using errcode = 'BE001';
    end if;
    insert into berth.events (job_id, attempt, status, reason) values (new.id, new.attempt, new.status, new.reason);
    return null;
end $$;

-- Concurrency keys. At most concurrency_max jobs of one (tenant, concurrency_key) are preparing, running, canceling
-- or lost at once. That is always counted from rows, under an advisory lock on the key that lasts until the end of
-- the transaction; in a transaction of its own (read committed) each question behind the lock sees all that its
-- former holders have committed.
--
-- For whoever inserts a job: fill in concurrency_key, concurrency_max and on_conflict, all three or none. The trigger
-- jobs_enter_key does the rest, when a row was truly inserted (not on `on conflict do nothing`) and when a row from SQL
-- is given its key by the orchestrator that has read its spec:
--   queue           nothing: the job waits until the claim finds room for the key.
--   reject          raises SQLSTATE BE002 when concurrency_max jobs of the key are unfinished already. The message
--                   begins with "job <id> ": one that holds the key.
--   cancel_running  as soon as the job is queued (one that is scheduled touches nobody until its time has come, and
--                   nobody touches it): the oldest unfinished jobs of the key beyond concurrency_max - 1 are superseded by the new one:
--                   waiting ones end at once as canceled/superseded, others are asked to (cancel 1, status
--                   canceling, reason superseded; lost ones stay lost; NOTIFY berth_work 'cancel'). The new job
--                   waits as with queue until they have ended.
create function berth.key_lock(tenant text, key text) returns bigint language sql immutable as $$
    select hashtextextended(key, hashtextextended(tenant, 0))
$$;

-- How many more jobs of the key may begin; 0 also while somebody else is about to decide on it. Keeps the lock.
create function berth.key_room(the_tenant text, key text, most integer) returns integer language plpgsql volatile as $$
begin
    if not pg_try_advisory_xact_lock(berth.key_lock(the_tenant, key)) then
        return 0;
    end if;
    return greatest(0, most - (
        select count(*) from berth.jobs where tenant = the_tenant and concurrency_key = key
        and status in ('preparing', 'running', 'canceling', 'lost'))::integer);
end $$;

-- Whether this job, which is under way already, has to step back because the key is held by enough others.
create function berth.key_is_taken(job uuid, the_tenant text, key text, most integer) returns boolean
    language plpgsql volatile as $$
begin
    if key is null then
        return false;
    end if;
    perform pg_advisory_xact_lock(berth.key_lock(the_tenant, key));
    return most <= (
        select count(*) from berth.jobs where tenant = the_tenant and concurrency_key = key and id <> job
        and status in ('preparing', 'running', 'canceling', 'lost'));
end $$;

create function berth.enter_key() returns trigger language plpgsql as $$
declare
    holder uuid;
    others bigint;
    asked  boolean := false;
    old_one record;
begin
    if new.on_conflict = 'cancel_running' and (new.status = 'scheduled' or new.run_at > now()) then
        return null; -- jobs_key_due comes back to it
    end if;
    perform pg_advisory_xact_lock(berth.key_lock(new.tenant, new.concurrency_key));
    if exists (select from berth.jobs where id = new.id and cancel > 0) then
        return null; -- one that became due with it has superseded it
    end if;
    if new.on_conflict = 'reject' then
        select count(*), (array_agg(id order by created_at, id))[1] into others, holder from berth.jobs
            where tenant = new.tenant and concurrency_key = new.concurrency_key and id <> new.id
            and status in ('scheduled', 'queued', 'preparing', 'running', 'retrying', 'canceling', 'lost');
        if others >= new.concurrency_max then
            raise exception 'job % has not finished and holds the concurrency key "%", of which there may be %',
                holder, new.concurrency_key, new.concurrency_max using errcode = 'BE002';
        end if;
        return null;
    end if;
    for old_one in
        select id from berth.jobs
            where tenant = new.tenant and concurrency_key = new.concurrency_key and id <> new.id and cancel = 0
            and status in ('queued', 'preparing', 'running', 'retrying', 'canceling', 'lost')
            order by created_at desc, id desc offset new.concurrency_max - 1
    loop
        asked := berth.supersede(old_one.id, new.id) or asked;
    end loop;
    if asked then
        perform pg_notify('berth_work', 'cancel');
    end if;
    return null;
end $$;

-- Whether the job has to be stopped. Judged on the row as it is when its lock is held.
create function berth.supersede(job uuid, by uuid) returns boolean language plpgsql volatile as $$
declare
    now_status text;
begin
    update berth.jobs set
        finished_at = case when status in ('scheduled', 'queued', 'retrying') then clock_timestamp() end,
        message = case when status in ('scheduled', 'queued', 'retrying') then
            format('job %s of the same concurrency key came while this one waited', by) when status = 'lost' then
            format('job %s of the same concurrency key came; this one''s orchestrator is not heard of, and stops it when it comes back', by) else
            format('job %s of the same concurrency key came; the container of this one is being stopped', by) end,
        status = case when status in ('scheduled', 'queued', 'retrying') then 'canceled'
            when status = 'lost' then 'lost' else 'canceling' end, -- the time in which it can come back goes on
        reason = case when status = 'lost' then reason else 'superseded' end, cancel_reason = 'superseded', cancel = 1
        where id = job and cancel = 0
        and status in ('scheduled', 'queued', 'preparing', 'running', 'retrying', 'canceling', 'lost')
        returning status into now_status;
    if now_status = 'canceled' then
        perform pg_notify('berth_log', job::text); -- SHIP_CHANNEL: its viewers
    end if;
    return coalesce(now_status in ('canceling', 'lost'), false);
end $$;

create trigger jobs_enter_key after insert on berth.jobs
    for each row when (new.concurrency_key is not null and new.on_conflict <> 'queue')
    execute function berth.enter_key();
create trigger jobs_given_key after update of concurrency_key on berth.jobs
    for each row when (old.concurrency_key is null and new.concurrency_key is not null and new.on_conflict <> 'queue')
    execute function berth.enter_key();
create trigger jobs_key_due after update of status on berth.jobs
    for each row when (old.status = 'scheduled' and new.status = 'queued' and new.concurrency_key is not null
        and new.on_conflict = 'cancel_running')
    execute function berth.enter_key();

-- Hints to the orchestrators: a key has become free; a job has been put off, perhaps for less than a poll takes.
create function berth.tell_step() returns trigger language plpgsql as $$
begin
    perform pg_notify('berth_work', case when new.status in ('scheduled', 'retrying') then 'later' else 'jobs' end);
    return null;
end $$;
create trigger jobs_key_free after update of status on berth.jobs
    for each row when (new.concurrency_key is not null and old.status in ('preparing', 'running', 'canceling', 'lost')
        and new.status not in ('preparing', 'running', 'canceling', 'lost', 'retrying', 'scheduled'))
    execute function berth.tell_step();
create trigger jobs_put_off after update of status on berth.jobs
    for each row when (new.status in ('scheduled', 'retrying') and old.status <> new.status)
    execute function berth.tell_step();
create trigger jobs_begin_later after insert on berth.jobs
    for each row when (new.status = 'scheduled') execute function berth.tell_step();
