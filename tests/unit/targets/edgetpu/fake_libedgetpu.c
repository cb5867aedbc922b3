/* A delegate library for tests: it has the functions of Google's libedgetpu and no device behind them.
 *
 * It takes every edgetpu-custom-op, leaves its outputs as they are, and misbehaves when told to by the environment:
 * FAKE_REFUSE: it finds no device.  FAKE_UNPLUG=N: the N-th inference ends the process, as Google's does.
 * FAKE_FAIL=N: the N-th inference reports an error.  FAKE_NOISE: it prints to stdout.
 * The structures are those of tensorflow/lite/core/c/common.h. */
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

typedef struct { int size; int data[]; } IntArray;
typedef struct { IntArray* inputs; IntArray* outputs; } Node;
typedef struct Context Context;
typedef struct {
  void* (*init)(Context*, const char*, size_t);
  void (*free)(Context*, void*);
  int (*prepare)(Context*, Node*);
  int (*invoke)(Context*, Node*);
  const char* (*profiling)(const Context*, const Node*);
  int32_t code;
  const char* name;
  int version;
  void* more[8];
} Registration;
typedef struct Delegate {
  void* data;
  int (*prepare)(Context*, struct Delegate*);
  void* copy_from; void* copy_to; void* free_handle;
  int64_t flags;
  void* builder;
} Delegate;
struct Context {
  size_t tensor_count;
  int (*plan)(Context*, IntArray**);
  void* tensors;
  void* impl;
  void* resize;
  void (*report)(Context*, const char*, ...);
  void* add;
  int (*node)(Context*, int, Node**, Registration**);
  int (*replace)(Context*, Registration, const IntArray*, Delegate*);
  void* more[6];
};

static int runs;
static int number(const char* name) { return getenv(name) ? atoi(getenv(name)) : -1; }
static int ready(Context* context, Node* node) { return 0; }
static int run(Context* context, Node* node) {
  runs++;
  if (runs == number("FAKE_UNPLUG")) {
    fprintf(stderr, "F driver/usb/usb_driver.cc transfer in failed. Not found: USB transfer error 5\n");
    abort();
  }
  return runs == number("FAKE_FAIL");
}
static int take(Context* context, Delegate* delegate) {
  IntArray* plan;
  if (context->plan(context, &plan)) return 1;
  IntArray* mine = malloc(sizeof(IntArray) + sizeof(int) * plan->size);
  mine->size = 0;
  for (int i = 0; i < plan->size; i++) {
    Node* node;
    Registration* found;
    if (context->node(context, plan->data[i], &node, &found)) return 1;
    if (found->name && !strcmp(found->name, "edgetpu-custom-op")) mine->data[mine->size++] = plan->data[i];
  }
  Registration own = {0};
  own.prepare = ready;
  own.invoke = run;
  own.name = "FakeEdgeTpu";
  own.version = 1;
  return context->replace(context, own, mine, delegate);
}

Delegate* tflite_plugin_create_delegate(char** keys, char** values, size_t count, void (*report)(const char*)) {
  if (getenv("FAKE_NOISE")) printf("a line that is no answer\nand one without an end");
  fflush(stdout);
  if (getenv("FAKE_REFUSE")) {
    report("no device found");
    return NULL;
  }
  for (size_t i = 0; i < count; i++)
    if (!strcmp(keys[i], "device") && strcmp(values[i], "usb:1") && strcmp(values[i], ":0")) {
      report("no such device");
      return NULL;
    }
  Delegate* delegate = calloc(1, sizeof(Delegate));
  delegate->prepare = take;
  delegate->flags = 1; /* dynamic tensors allowed: nothing is prepared before it takes its operators */
  return delegate;
}
void tflite_plugin_destroy_delegate(Delegate* delegate) { free(delegate); }

struct device { int kind; const char* path; };
static struct device found[] = {{1, "/sys/bus/usb/devices/2-1"}, {0, "/dev/apex_0"}, {1, "/sys/bus/usb/devices/2-2"}};
struct device* edgetpu_list_devices(size_t* count) { *count = 3; return found; }
const char* edgetpu_version(void) { return "fake 1"; }
