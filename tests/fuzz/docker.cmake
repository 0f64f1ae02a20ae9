if(COMMAND berth_fuzz)
    berth_fuzz(NAME fuzz_docker SOURCES ${CMAKE_CURRENT_LIST_DIR}/fuzz_docker.c USES berth_docker)
endif()
