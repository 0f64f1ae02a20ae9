#include "runner/docker/network.h"

#include <string.h>

#include "base/json.h"
#include "base/mem.h"
#include "runner/docker/call.h"
#include "runner/docker/doc.h"
#include "runner/docker/url.h"

static json_t *ipam_json(struct doc_body *body, const struct network_spec *spec) {
    json_t *config = json_object(), *configs = json_array(), *ipam = json_object();
    doc_put_text(body, config, "Subnet", spec->subnet);
    doc_put_text(body, config, "Gateway", spec->gateway);
    if (json_array_append_new(configs, config) < 0)
        body->bad = true;
    doc_put(body, ipam, "Config", configs);
    return ipam;
}

int network_create(struct engine *engine, const struct ctx *ctx, const struct network_spec *spec,
                   char ret_id[ENGINE_ID_MAX], struct err *err) {
    AUTO_JSON json_t *root = json_object();
    AUTO_JSON json_t *answer = NULL;
    struct doc_body body = {.root = root};
    doc_put_text(&body, root, "Name", spec->name);
    doc_put(&body, root, "CheckDuplicate", json_true()); /* before API 1.44 two networks could share a name */
    doc_put_text(&body, root, "Driver", "bridge");
    doc_put(&body, root, "Internal", json_boolean(spec->internal));
    doc_put(&body, root, "Options", doc_pairs(&body, spec->options));
    doc_put(&body, root, "Labels", doc_pairs(&body, spec->labels));
    if (spec->subnet)
        doc_put(&body, root, "IPAM", ipam_json(&body, spec));
    if (doc_body_check(&body, "network spec", err) < 0 ||
        call_post_json(engine, ctx, "/networks/create", root, &answer, err) < 0)
        return -1;
    return doc_copy(answer, "Id", ret_id, ENGINE_ID_MAX, "POST /networks/create", err);
}

static void fill_info(const json_t *json, struct network_info *ret) {
    const json_t *ipam = json_array_get(doc_list(doc_map(json, "IPAM"), "Config"), 0);
    *ret = (struct network_info){
        .id = doc_text(json, "Id"),
        .name = doc_text(json, "Name"),
        .driver = doc_text(json, "Driver"),
        .subnet = doc_text(ipam, "Subnet"),
        .gateway = doc_text(ipam, "Gateway"),
        .internal = json_get_bool(json, "Internal", false),
        .labels = doc_map(json, "Labels"),
        .options = doc_map(json, "Options"),
        .containers = doc_map(json, "Containers"),
        .created_us = doc_time_us(json, "Created"),
    };
}

int network_inspect(struct engine *engine, const struct ctx *ctx, const char *id,
                    struct network_info *ret_info, struct err *err) {
    AUTO_BUF struct buf path = BUF(URL_MAX);
    AUTO_JSON json_t *json = NULL;
    if (url_format(&path, err, "/networks/{}", id) < 0 ||
        call_get_json(engine, ctx, buf_str(&path), &json, err) < 0)
        return -1;
    if (!*doc_text(json, "Id"))
        return err_set(err, ERR_INVALID, 0, "GET /networks/%s: the answer has no Id", id);
    fill_info(json, ret_info);
    ret_info->owner = json_incref(json);
    return 0;
}

void network_info_done(struct network_info *info) {
    json_decref(info->owner);
    *info = (struct network_info){0};
}

int network_list(struct engine *engine, const struct ctx *ctx, struct engine_pairs labels,
                 struct network_list *ret_list, struct err *err) {
    AUTO_FREE char *filters = NULL;
    AUTO_BUF struct buf path = BUF(URL_MAX);
    AUTO_JSON json_t *json = NULL;
    if (doc_filters(labels, NULL, 0, &filters, err) < 0 ||
        url_format(&path, err, "/networks?filters={}", filters) < 0 ||
        call_get_json(engine, ctx, buf_str(&path), &json, err) < 0)
        return -1;
    if (!json_is_array(json))
        return err_set(err, ERR_INVALID, 0, "GET /networks: the answer is not a list");
    size_t count = json_array_size(json);
    struct network_info *items = mem_alloc(count * sizeof *items);
    for (size_t i = 0; i < count; i++)
        fill_info(json_array_get(json, i), &items[i]);
    *ret_list = (struct network_list){.items = items, .count = count, .owner = json_incref(json)};
    return 0;
}

void network_list_done(struct network_list *list) {
    free(list->items);
    json_decref(list->owner);
    *list = (struct network_list){0};
}

int network_remove(struct engine *engine, const struct ctx *ctx, const char *id, struct err *err) {
    AUTO_BUF struct buf path = BUF(URL_MAX);
    if (url_format(&path, err, "/networks/{}", id) < 0)
        return -1;
    return call_delete(engine, ctx, buf_str(&path), err);
}

static int disconnect(struct engine *engine, const struct ctx *ctx, const char *id, const char *container,
                      struct err *err) {
    AUTO_BUF struct buf path = BUF(URL_MAX);
    AUTO_JSON json_t *root = json_object();
    struct doc_body body = {.root = root};
    doc_put_text(&body, root, "Container", container);
    doc_put(&body, root, "Force", json_true());
    if (doc_body_check(&body, "disconnection", err) < 0 ||
        url_format(&path, err, "/networks/{}/disconnect", id) < 0)
        return -1;
    return call_post_json(engine, ctx, buf_str(&path), root, NULL, err);
}

int network_drop_stale(struct engine *engine, const struct ctx *ctx, const char *id, struct err *err) {
    static const char no_container[] = "ep-"; /* begins the endpoint's own id, in place of a container's */
    AUTO_NETWORK_INFO struct network_info info = {0};
    const char *key;
    json_t *endpoint;
    int dropped = 0;
    if (network_inspect(engine, ctx, id, &info, err) < 0)
        return -1;
    json_object_foreach((json_t *)info.containers, key, endpoint) {
        if (strncmp(key, no_container, strlen(no_container)) != 0)
            continue;
        if (disconnect(engine, ctx, id, doc_text(endpoint, "Name"), err) < 0)
            return -1;
        dropped++;
    }
    return dropped;
}

int volume_create(struct engine *engine, const struct ctx *ctx, const char *name, struct engine_pairs labels,
                  struct err *err) {
    AUTO_JSON json_t *root = json_object();
    struct doc_body body = {.root = root};
    doc_put_text(&body, root, "Name", name);
    doc_put(&body, root, "Labels", doc_pairs(&body, labels));
    if (doc_body_check(&body, "volume", err) < 0)
        return -1;
    return call_post_json(engine, ctx, "/volumes/create", root, NULL, err);
}

int volume_list(struct engine *engine, const struct ctx *ctx, struct engine_pairs labels,
                struct volume_list *ret_list, struct err *err) {
    AUTO_FREE char *filters = NULL;
    AUTO_BUF struct buf path = BUF(URL_MAX);
    AUTO_JSON json_t *json = NULL;
    if (doc_filters(labels, NULL, 0, &filters, err) < 0 ||
        url_format(&path, err, "/volumes?filters={}", filters) < 0 ||
        call_get_json(engine, ctx, buf_str(&path), &json, err) < 0)
        return -1;
    if (!json_is_object(json))
        return err_set(err, ERR_INVALID, 0, "GET /volumes: the answer is not an object");
    const json_t *volumes = doc_list(json, "Volumes");
    size_t count = json_array_size(volumes);
    struct volume_info *items = mem_alloc(count * sizeof *items);
    for (size_t i = 0; i < count; i++) {
        const json_t *item = json_array_get(volumes, i);
        items[i].name = doc_text(item, "Name");
        items[i].labels = doc_map(item, "Labels");
        items[i].created_us = doc_time_us(item, "CreatedAt");
    }
    *ret_list = (struct volume_list){.items = items, .count = count, .owner = json_incref(json)};
    return 0;
}

void volume_list_done(struct volume_list *list) {
    free(list->items);
    json_decref(list->owner);
    *list = (struct volume_list){0};
}

int volume_remove(struct engine *engine, const struct ctx *ctx, const char *name, struct err *err) {
    AUTO_BUF struct buf path = BUF(URL_MAX);
    if (url_format(&path, err, "/volumes/{}", name) < 0)
        return -1;
    return call_delete(engine, ctx, buf_str(&path), err);
}
