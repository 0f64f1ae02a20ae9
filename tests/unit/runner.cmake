foreach(name verdict argv launch_file mounts registry_auth system_log tar_file)
    berth_test(NAME test_${name} LABEL unit SOURCES ${CMAKE_CURRENT_LIST_DIR}/test_${name}.c USES berth_runner berth_init)
endforeach()
