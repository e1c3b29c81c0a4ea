// A stand-in for NVIDIA's driver library on a machine without one: the entry points that are called here, in host memory.
// Kernels are those compiled for the CPU, from the library that HOST_KERNELS names. Streams run at once.
#include <dlfcn.h>

#include <cstdint>
#include <cstdlib>
#include <cstring>
#include <functional>
#include <string>
#include <vector>

using Result = int;
enum { SUCCESS = 0, INVALID_VALUE = 1, OUT_OF_MEMORY = 2, INVALID_IMAGE = 200, NOT_FOUND = 500 };

static int from_environment(const char* name, int otherwise) {
    const char* text = std::getenv(name);
    return text ? std::atoi(text) : otherwise;
}

static int live = 0;  // objects made and not given back
static int primary_context, current;
using Work = std::vector<std::function<void()>>;
static Work* capturing = nullptr;

static void queue(std::function<void()> work) {
    if (capturing) capturing->push_back(std::move(work));
    else work();
}

template <class T>
static Result made(void** out, T* thing) {
    *out = thing;
    ++live;
    return SUCCESS;
}

#define API extern "C" __attribute__((visibility("default"))) Result

extern "C" __attribute__((visibility("default"))) int stub_live() { return live; }

API cuInit(unsigned) { return from_environment("STUB_INIT", SUCCESS); }
API cuDriverGetVersion(int* version) { *version = from_environment("STUB_VERSION", 13000); return SUCCESS; }
API cuDeviceGetCount(int* count) { *count = from_environment("STUB_COUNT", 1); return SUCCESS; }
API cuDeviceGet(int* device, int ordinal) { *device = ordinal; return SUCCESS; }
API cuDeviceGetName(char* name, int length, int) { std::strncpy(name, "Stub", length); return SUCCESS; }
API cuDeviceTotalMem_v2(std::size_t* bytes, int) { *bytes = 8ull << 30; return SUCCESS; }
API cuDeviceGetAttribute(int* value, int attribute, int) {
    const int capability = from_environment("STUB_CAPABILITY", 90);
    *value = attribute == 75 ? capability / 10 : attribute == 76 ? capability % 10 : 0;
    return SUCCESS;
}
API cuDeviceGetUuid_v2(void* uuid, int) { std::memset(uuid, 0, 16); return SUCCESS; }
API cuDevicePrimaryCtxRetain(void** context, int) { *context = &primary_context; return SUCCESS; }
API cuDevicePrimaryCtxRelease_v2(int) { return SUCCESS; }
API cuDevicePrimaryCtxSetFlags_v2(int, unsigned) { return SUCCESS; }
API cuCtxSetCurrent(void* context) { current = context == &primary_context; return SUCCESS; }
API cuCtxGetCurrent(void** context) { *context = current ? &primary_context : nullptr; return SUCCESS; }
API cuCtxPushCurrent_v2(void* context) { return cuCtxSetCurrent(context); }
API cuCtxPopCurrent_v2(void** context) { cuCtxGetCurrent(context); current = 0; return SUCCESS; }
API cuCtxGetDevice(int* device) { *device = 0; return current ? SUCCESS : 201; }
API cuCtxGetDevice_v2(int* device, void*) { *device = 0; return SUCCESS; }
API cuCtxSynchronize() { return SUCCESS; }
API cuCtxGetFlags(unsigned* flags) { *flags = 0; return SUCCESS; }
API cuCtxCreate_v2(void**, unsigned, int) { std::abort(); }  // nobody may make a context of their own
API cuCtxCreate_v4(void**, void*, unsigned, int) { std::abort(); }
API cuGetErrorName(int code, const char** name) {
    *name = code == OUT_OF_MEMORY ? "CUDA_ERROR_OUT_OF_MEMORY" : "CUDA_ERROR_OTHER";
    return SUCCESS;
}
API cuGetErrorString(int code, const char** text) {
    *text = code == OUT_OF_MEMORY ? "out of memory" : code == INVALID_IMAGE ? "device kernel image is invalid" : "other";
    return SUCCESS;
}

API cuModuleLoadData(void** module, const void* image) {
    if (std::memcmp(image, "\x7f" "ELF", 4) != 0) return INVALID_IMAGE;
    return made(module, new int(0));
}
API cuModuleLoadDataEx(void** module, const void* image, unsigned, void*, void**) { return cuModuleLoadData(module, image); }
API cuModuleUnload(void* module) { delete static_cast<int*>(module); --live; return SUCCESS; }
struct Function {
    void (*launch)(const unsigned*, const unsigned*, void**);
    void (*unpack)(char*, void**);
};

API cuModuleGetFunction(void** function, void*, const char* name) {
    static void* kernels = dlopen(std::getenv("HOST_KERNELS"), RTLD_NOW);
    void* launch = dlsym(kernels, ("launch_" + std::string(name)).c_str());
    void* unpack = dlsym(kernels, ("unpack_" + std::string(name)).c_str());
    *function = new Function{reinterpret_cast<decltype(Function::launch)>(launch),
                             reinterpret_cast<decltype(Function::unpack)>(unpack)};
    return launch && unpack ? SUCCESS : NOT_FOUND;
}

// Arguments come as one address each, or in a buffer: {1, buffer, 2, its size, 0}. They are not kept for a graph:
// a launch in a capture is refused.
API cuLaunchKernel(void* function, unsigned gx, unsigned gy, unsigned gz, unsigned bx, unsigned by, unsigned bz, unsigned,
                   void*, void** parameters, void** extra) {
    if (capturing) return INVALID_VALUE;
    const unsigned grid[3] = {gx, gy, gz}, block[3] = {bx, by, bz};
    void* addresses[64];
    if (!parameters) {
        if (!extra || extra[0] != reinterpret_cast<void*>(1)) return INVALID_VALUE;
        static_cast<Function*>(function)->unpack(static_cast<char*>(extra[1]), addresses);
        parameters = addresses;
    }
    static_cast<Function*>(function)->launch(grid, block, parameters);
    return SUCCESS;
}
API cuFuncSetBlockShape(void*, int, int, int) { return SUCCESS; }

API cuMemAlloc_v2(std::uint64_t* address, std::size_t bytes) {
    if (bytes > (8ull << 30)) return OUT_OF_MEMORY;
    return made(reinterpret_cast<void**>(address), std::malloc(bytes));
}
API cuMemFree_v2(std::uint64_t address) { std::free(reinterpret_cast<void*>(address)); --live; return SUCCESS; }
API cuMemHostAlloc(void** address, std::size_t bytes, unsigned) { return made(address, std::malloc(bytes)); }
API cuMemFreeHost(void* address) { std::free(address); --live; return SUCCESS; }
API cuMemcpyHtoDAsync_v2(std::uint64_t to, const void* of, std::size_t bytes, void*) {
    queue([=] { std::memcpy(reinterpret_cast<void*>(to), of, bytes); });
    return SUCCESS;
}
API cuMemcpyDtoHAsync_v2(void* to, std::uint64_t of, std::size_t bytes, void*) {
    queue([=] { std::memcpy(to, reinterpret_cast<void*>(of), bytes); });
    return SUCCESS;
}
API cuMemcpyDtoDAsync_v2(std::uint64_t to, std::uint64_t of, std::size_t bytes, void*) {
    queue([=] { std::memcpy(reinterpret_cast<void*>(to), reinterpret_cast<void*>(of), bytes); });
    return SUCCESS;
}
API cuMemsetD8Async(std::uint64_t to, unsigned char value, std::size_t bytes, void*) {
    queue([=] { std::memset(reinterpret_cast<void*>(to), value, bytes); });
    return SUCCESS;
}

API cuStreamCreate(void** stream, unsigned flags) { return flags == 1 ? made(stream, new int(0)) : INVALID_VALUE; }
API cuStreamDestroy_v2(void* stream) { delete static_cast<int*>(stream); --live; return SUCCESS; }
API cuStreamSynchronize(void*) { return SUCCESS; }
API cuEventCreate(void** event, unsigned) { return made(event, new int(0)); }
API cuEventDestroy_v2(void* event) { delete static_cast<int*>(event); --live; return SUCCESS; }
API cuEventRecord(void* event, void*) { static int time = 0; *static_cast<int*>(event) = ++time; return SUCCESS; }
API cuEventSynchronize(void*) { return SUCCESS; }
API cuEventElapsedTime(float* ms, void* start, void* end) {
    *ms = static_cast<float>(*static_cast<int*>(end) - *static_cast<int*>(start));
    return SUCCESS;
}
API cuEventElapsedTime_v2(float* ms, void* start, void* end) { return cuEventElapsedTime(ms, start, end); }

API cuStreamBeginCapture_v2(void*, int mode) { capturing = new Work; return mode == 1 ? SUCCESS : INVALID_VALUE; }
API cuStreamEndCapture(void*, void** graph) { *graph = capturing; capturing = nullptr; ++live; return SUCCESS; }
API cuGraphInstantiateWithFlags(void** executable, void* graph, std::uint64_t) {
    return made(executable, new Work(*static_cast<Work*>(graph)));
}
API cuGraphDestroy(void* graph) { delete static_cast<Work*>(graph); --live; return SUCCESS; }
API cuGraphExecDestroy(void* executable) { return cuGraphDestroy(executable); }
API cuGraphLaunch(void* executable, void*) {
    for (auto& work : *static_cast<Work*>(executable)) work();
    return SUCCESS;
}

// How the bindings look everything up: by the plain name, of which the newest version is meant.
API cuGetProcAddress_v2(const char* name, void** function, int, std::uint64_t, int* status) {
    for (const char* version : {"_v4", "_v2", "WithFlags", ""}) {
        *function = dlsym(RTLD_DEFAULT, (std::string(name) + version).c_str());
        if (!*function) {
            static void* self = dlopen("libcuda.so.1", RTLD_NOW | RTLD_NOLOAD);
            if (self) *function = dlsym(self, (std::string(name) + version).c_str());
        }
        if (*function) break;
    }
    if (status) *status = *function ? 0 : 1;
    return *function ? SUCCESS : NOT_FOUND;
}
API cuGetProcAddress(const char* name, void** function, int version, std::uint64_t flags) {
    return cuGetProcAddress_v2(name, function, version, flags, nullptr);
}
