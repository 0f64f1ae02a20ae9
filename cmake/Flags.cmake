# How everything is compiled. Warnings are errors only where BERTH_WERROR says so, for the sake of packagers.
set(CMAKE_C_STANDARD 17)
set(CMAKE_C_STANDARD_REQUIRED ON)
set(CMAKE_C_EXTENSIONS ON)

add_compile_definitions(_GNU_SOURCE BERTH_VERSION="${PROJECT_VERSION}")
add_compile_options(-Wall -Wextra -Wno-missing-field-initializers -Wshadow -Wstrict-prototypes -Wmissing-prototypes -Wformat=2 -Wvla
                    -Wconversion -Wno-sign-conversion -Wswitch-enum -Wundef -fno-common -fno-strict-aliasing)
if(BERTH_WERROR)
    add_compile_options(-Werror)
endif()

if(BERTH_FAULTS)
    add_compile_definitions(BERTH_FAULTS)
endif()

if(BERTH_SANITIZE)
    add_compile_options(-fsanitize=${BERTH_SANITIZE} -fno-sanitize-recover=all -fno-omit-frame-pointer)
    add_link_options(-fsanitize=${BERTH_SANITIZE})
else()
    add_compile_options($<$<CONFIG:Release>:-D_FORTIFY_SOURCE=2> -fstack-protector-strong -fPIE)
    add_link_options(-Wl,-z,relro,-z,now)
endif()
set(CMAKE_POSITION_INDEPENDENT_CODE ON)
