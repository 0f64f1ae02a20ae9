-- What the reaper needs: which images are wanted, and logs that go a day at a time.

-- Every image that a job's spec names, for itself or a service. A spec that cannot be read wants none: its job ends
-- as errored/spec_refused.
create function berth.spec_images(spec text) returns text[] language plpgsql immutable as $$
declare
    s jsonb;
begin
    s := spec::jsonb;
    return array(
        select image from (
            select s ->> 'image' as image
            union select x ->> 'image' from jsonb_array_elements(
                case when jsonb_typeof(s -> 'services') = 'array' then s -> 'services' else '[]' end) x) i
        where image is not null);
exception when others then
    return '{}';
end $$;

alter table berth.attempts
    add column log_expired boolean not null default false; -- its log went with the day of its claim: nothing is stored any more
-- Attempts are added in the order of this time, and never moved.
create index attempts_claimed on berth.attempts using brin (claimed_at);

create index log_chunks_default_days on berth.log_chunks_default (created_on);

-- A day of log_chunks.created_on as the time of attempts.claimed_at at which it begins.
create function berth.day_begins(day date) returns timestamptz language sql stable as $$
    select day::timestamp at time zone 'UTC'
$$;

-- One orchestrator at a time; whoever comes second has nothing to do. None of it waits long for a lock: behind it
-- every reader and writer of logs would wait, too (SQLSTATE 55P03, try again later).
create function berth.begin_log_days() returns boolean language plpgsql as $$
begin
    perform set_config('lock_timeout', '1s', true);
    return pg_try_advisory_xact_lock(hashtextextended('berth.log_days', 0));
end $$;

-- Makes the partitions of today and so many days ahead; how many were made. A day whose first rows lie in the default
-- partition already stays there. Made apart and attached, which locks out neither readers nor writers of other days.
create function berth.make_log_days(ahead integer) returns integer language plpgsql as $$
declare
    day  date := (now() at time zone 'UTC')::date;
    name text;
    made integer := 0;
begin
    if not berth.begin_log_days() then
        return 0;
    end if;
    for i in 0 .. ahead loop
        name := 'log_chunks_' || to_char(day + i, 'YYYYMMDD');
        if to_regclass('berth.' || name) is null
            and not exists (select from berth.log_chunks_default where created_on = day + i) then
            execute format('create table berth.%I (like berth.log_chunks including all)', name);
            execute format('alter table berth.log_chunks attach partition berth.%I for values from (%L) to (%L)',
                           name, day + i, day + i + 1);
            made := made + 1;
        end if;
    end loop;
    return made;
end $$;

-- Days of which every attempt ended longer ago than that.
create function berth.expired_log_days(retention interval) returns setof date language sql stable as $$
    select day from (
        select to_date(substring(c.relname from '^log_chunks_(\d{8})$'), 'YYYYMMDD') as day
        from pg_inherits i join pg_class c on c.oid = i.inhrelid
        where i.inhparent = 'berth.log_chunks'::regclass and c.relname ~ '^log_chunks_\d{8}$'
        union select created_on from berth.log_chunks_default) d
    where berth.day_begins(day + 1) < now() - retention
      and not exists (
        select from berth.attempts a
        where a.claimed_at >= berth.day_begins(day) and a.claimed_at < berth.day_begins(day + 1)
          and (a.finished_at is null or a.finished_at >= now() - retention))
    order by day
$$;

-- One step of taking the logs of such a day away: first its attempts say so, then the bytes go. True: nothing is left;
-- false: call again; null: the day has not expired, or somebody else is at it. A step a transaction: none holds rows
-- while it waits for the table.
create function berth.drop_log_day(the_day date, retention interval) returns boolean language plpgsql as $$
declare
    name text := 'log_chunks_' || to_char(the_day, 'YYYYMMDD');
begin
    if not berth.begin_log_days() or the_day not in (select berth.expired_log_days(retention)) then
        return null;
    end if;
    update berth.attempts set log_expired = true, log_complete = false, stored_bytes = 0 where id in (
        select id from berth.attempts
        where claimed_at >= berth.day_begins(the_day) and claimed_at < berth.day_begins(the_day + 1)
          and not log_expired and log_bytes > 0 limit 5000);
    if found then
        return false;
    end if;
    if to_regclass('berth.' || name) is not null then
        execute format('drop table berth.%I', name);
        return true;
    end if;
    delete from berth.log_chunks_default where ctid in (
        select ctid from berth.log_chunks_default where created_on = the_day limit 5000);
    return not found;
end $$;
